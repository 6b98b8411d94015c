import { render } from "preact";
import { App } from "./app";
import { store } from "./state";
import { exposeForTests } from "./test_view";
import "./theme.css";

const root = document.getElementById("app");
if (!root) throw new Error("index.html has no #app");
render(<App />, root);
exposeForTests();
void store.start();
