// Ends the task of the page's thread: what follows does not keep it from answering for longer.

export const rest = () => new Promise((done) => setTimeout(done));
