// Ends the current task of the page's thread: the page can answer before what follows.

export const rest = () => new Promise((done) => setTimeout(done));
