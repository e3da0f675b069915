#!/bin/sh
# Installs what tests need beside Python, where that can be done: a browser, and GNU gettext.
# Elsewhere it says what is missing; tests that need it are left out, or fail where CI is set.
set -eu

missing=""
[ -x "${CHROMIUM:-/usr/bin/chromium}" ] || missing="$missing chromium"
command -v xgettext > /dev/null || missing="$missing gettext"
[ -n "$missing" ] || exit 0

if command -v apt-get > /dev/null && [ "$(id -u)" = 0 ]; then
    echo "Installing Debian's packages:$missing"
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086  # several words
    if apt-get update -qq && apt-get install -qq -y --no-install-recommends $missing > /dev/null; then
        exit 0
    fi
fi
echo "Not installed, so that their tests are left out:$missing"
