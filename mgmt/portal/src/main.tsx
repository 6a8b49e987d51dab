// SPDX-License-Identifier: Apache-2.0
import { render } from "preact";
import "./style/tokens.css";
import "./style/base.css";
import "./state/theme";
import { App } from "./app";
import { resume } from "./state/session";

void resume();
render(<App />, document.getElementById("app")!);
