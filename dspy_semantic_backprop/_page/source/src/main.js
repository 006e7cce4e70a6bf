// Reads the page's one block of data and draws it.
import { render } from "preact";
import "./style.css";
import { html } from "./html.js";
import { Comparison } from "./compare.js";
import { Run, prepared } from "./run.js";

const data = JSON.parse(document.getElementById("data").textContent);
const page = document.getElementById("page");
page.textContent = "";
render(html`${data.kind === "run" ? html`<${Run} run=${prepared(data)} />` : html`<${Comparison} data=${data} />`}
  <footer>Made by dspy-semantic-backprop. This file fetches nothing and sends nothing.${data.cut && ` So that the page stays small, ${data.cut.everywhere ? "all texts" : "texts of examples"} are cut at ${data.cut.characters} characters.`}</footer>`, page);
