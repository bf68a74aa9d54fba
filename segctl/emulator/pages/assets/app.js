// The module of every page: the live connection, and forms and buttons that need a script.
import "./actions.js";
import "./refresh.js";

// A phone shows the menu in two rows; on a narrow window it may scroll.
document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
