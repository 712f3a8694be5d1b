export { renderPage } from "./page.js";
export { renderComparison, renderText } from "./text.js";
