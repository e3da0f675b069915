// Keeps what is about to change on a page up to date, while its tab is visible, and until it has
// ended. Without it, the page has a link that loads it again.
(() => {
    const INTERVAL = 1500; // milliseconds between two looks
    const PATIENCE = 15000; // at most, while the server does not answer

    const parsed = (html) => {
        const template = document.createElement("template");
        template.innerHTML = html;
        return template.content;
    };

    // Replaces what differs: somebody may be on their way to an element that stays the same.
    const update = (shown, found) => {
        const nodes = [...shown.childNodes];
        const news = [...found.childNodes];
        if (nodes.length !== news.length) {
            shown.replaceChildren(...news);
            return;
        }
        nodes.forEach((node, index) => {
            const other = news[index];
            if (node.isEqualNode(other)) return;
            const isAlike = node.hasChildNodes() && node.cloneNode().isEqualNode(other.cloneNode());
            if (isAlike) update(node, other);
            else node.replaceWith(other);
        });
    };

    const follow = (root) => {
        if ("followed" in root.dataset) return; // by another copy of this script
        root.dataset.followed = "";
        // Part of somebody's form: nothing may load the page again, and there is no hurry.
        const isAside = "aside" in root.dataset;
        const content = root.querySelector("[data-live-content]");
        const said = root.querySelector("[data-live-said]");
        let { state } = root.dataset;
        let delay = INTERVAL;
        let timer = null;

        const show = (found) => {
            const isBusy = content.contains(document.activeElement) || content.querySelector("details[open]");
            if (found.state !== state) said.textContent = found.said; // only changes are read out
            // What somebody reads or is about to press stays where it is while the state is the same.
            if (!isBusy || found.state !== state) update(content, parsed(found.html));
            if (isAside) delay = found.state === state ? Math.min(1.5 * delay, PATIENCE) : INTERVAL;
            state = found.state;
        };

        const look = async () => {
            timer = null;
            try {
                const response = await fetch(root.dataset.url, { headers: { Accept: "application/json" } });
                if (response.redirected || response.status === 403 || response.status === 404) {
                    if (!isAside) window.location.reload(); // logged out: let the server say so
                    return;
                }
                if (!response.ok) throw new Error(response.statusText);
                const found = await response.json();
                if (!isAside) delay = INTERVAL;
                show(found);
                if (found.ended) return;
            } catch (error) {
                delay = Math.min(2 * delay, PATIENCE);
            }
            wait();
        };

        const wait = () => {
            if (timer === null && !document.hidden) timer = window.setTimeout(look, delay);
        };

        document.addEventListener("visibilitychange", () => {
            if (document.hidden && timer !== null) {
                window.clearTimeout(timer);
                timer = null;
            } else if (root.isConnected) wait();
        });
        wait();
    };

    document.querySelectorAll("[data-background-live]").forEach(follow);
})();
