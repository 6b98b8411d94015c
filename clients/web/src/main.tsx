// First, so that a part of the page can say otherwise.
import "./theme.css";
import { render } from "preact";
import { App } from "./app";
import { openWithoutBridge } from "./phone/installed";
import { store } from "./state";
import { exposeForTests } from "./test_view";

const root = document.getElementById("app");
if (!root) throw new Error("index.html has no #app");
render(<App />, root);
exposeForTests();
openWithoutBridge();
void store.start();
