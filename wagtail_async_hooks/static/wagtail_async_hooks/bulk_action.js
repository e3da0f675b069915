// Keeps the page of a bulk action up to date without loading it again. Without it, the page has a
// link that does so.
(() => {
    const INTERVAL = 1000; // milliseconds between two looks
    const PATIENCE = 10000; // at most, while the server does not answer

    const root = document.querySelector("[data-bulk-action]");
    const part = (name) => root.querySelector(`[data-part="${name}"]`);
    let { state } = root.dataset;
    let delay = INTERVAL;

    // Elements that are the same stay: somebody may be on their way to one of them.
    const differs = (element, html) => {
        const parsed = document.createElement("template");
        parsed.innerHTML = html;
        return parsed.innerHTML.trim() !== element.innerHTML.trim();
    };

    const replace = (name, html) => {
        const element = part(name);
        if (!differs(element, html)) return;
        const focused = element.contains(document.activeElement);
        element.innerHTML = html;
        if (focused) root.querySelector("[data-reload]").focus();
    };

    const show = (found) => {
        part("text").textContent = found.text;
        part("bar").value = found.done;
        replace("notes", found.notes);
        if (found.state !== state) {
            part("spoken").textContent = found.text;
            replace("buttons", found.buttons);
        }
        // What somebody is about to follow stays where it is while the action runs.
        if (found.ended || !part("results").contains(document.activeElement)) {
            replace("results", found.results);
        }
        state = found.state;
    };

    const look = async () => {
        try {
            const response = await fetch(root.dataset.url + window.location.search, {
                headers: { Accept: "application/json" },
            });
            if (response.redirected || response.status === 403 || response.status === 404) {
                window.location.reload(); // logged out, most likely: let the server say so
                return;
            }
            if (!response.ok) throw new Error(response.statusText);
            const found = await response.json();
            show(found);
            delay = INTERVAL;
            if (found.ended) return;
        } catch (error) {
            part("text").textContent = root.dataset.lost;
            delay = Math.min(2 * delay, PATIENCE);
        }
        window.setTimeout(look, delay);
    };

    if (!("ended" in root.dataset)) window.setTimeout(look, INTERVAL);
})();
