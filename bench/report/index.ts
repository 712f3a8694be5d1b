export { barsSvg } from "./bars.js";
export { renderPage } from "./page.js";
export { renderComparison, renderText } from "./text.js";
