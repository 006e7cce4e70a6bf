// What every other file draws with. Texts reach the page as text nodes only; nothing here makes HTML of a text.
import { h } from "preact";
import htm from "htm";

export const html = htm.bind(h);
