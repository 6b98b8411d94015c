/** A person decides in the page what an agent may do: exactly what was shown, once. */

import { existsSync } from "node:fs";
import { join } from "node:path";
import { Agent } from "./support/agent";
import { became, review } from "./support/approvals";
import { expect, open, test } from "./support/test";

test("what is approved is run once; what waits is counted and told where it is about", async ({ baton, page }) => {
  const agent = await Agent.start(baton);
  await open(page, baton, agent.session);
  await expect(page.getByTestId("panel-approvals")).toHaveAccessibleName("Approvals");
  const asked = await agent.asks(agent.counts("yes"));
  await expect(page.getByTestId("approval-strip")).toContainText("fixer asks to run a command: echo yes | tee -a count");
  await expect(page.getByTestId("panel-approvals")).toHaveAccessibleName("Approvals, 1 waiting");
  await expect(page).toHaveTitle("(1) repairs · Baton");
  // What the strip leads to is read before anything is decided.
  await page.getByTestId("review").click();
  await expect(page.getByTestId("approval-payload")).toHaveText("echo yes | tee -a count");
  await expect(page.getByTestId("approval-cwd")).toHaveText(agent.folder);
  await expect(page.getByTestId("approval-names")).toContainText("/tee");
  await expect(page.getByTestId("risk")).toHaveText("Low risk");
  await expect(page.getByTestId("approval-detail")).toContainText("writes to a file");
  await expect(page.getByTestId("approval-detail")).toContainText("ask-tee");
  expect(agent.counted("yes")).toBe(0);
  await page.getByTestId("approve").click();
  await became(page, "executed");
  await expect(page.getByTestId("outcome")).toContainText("exit code 0");
  expect(agent.counted("yes")).toBe(1);
  expect((await agent.end(asked.id)).decision).toBe("approve");
  await expect(page).toHaveTitle("repairs · Baton");
  await expect(page.getByTestId("panel-approvals")).toHaveAccessibleName("Approvals");
  await page.getByTestId("approval-back").click();
  await expect(page.getByTestId("decided-list").getByTestId("approval-row")).toHaveAttribute("data-status", "executed");
});

test("what is denied is never run, and who asked reads the notes", async ({ baton, page }) => {
  const agent = await Agent.start(baton);
  await open(page, baton, agent.session);
  const answer = agent.waits(agent.counts("no"));
  await page.getByTestId("review").click();
  await page.getByTestId("decision-notes").fill("not today: the tree is frozen");
  await page.getByTestId("deny").click();
  await became(page, "denied");
  const { status, json } = await answer;
  expect([status, json.code]).toEqual([403, "denied"]);
  expect(json.detail).toContain("not today: the tree is frozen");
  await expect(page.getByTestId("outcome")).toContainText("not today: the tree is frozen");
  expect(agent.counted("no")).toBe(0);
});

test("an edit shows what changes, and that is what runs; a riskier one asks for itself, a forbidden one is refused", async ({ baton, page }) => {
  const agent = await Agent.start(baton);
  await open(page, baton, agent.session);
  const asked = await agent.asks(agent.counts("asked"));
  await review(page, asked.id);
  await page.getByTestId("edit").click();
  await expect(page.getByTestId("edit-text")).toBeFocused();
  await expect(page.getByTestId("edit-send")).toBeDisabled();
  await page.getByTestId("edit-text").fill("shred count");
  await page.getByTestId("edit-send").click();
  await expect(page.getByTestId("decision-failure")).toContainText("nobody shreds here");
  await page.getByTestId("edit-text").fill(agent.counts("edited"));
  await expect(page.getByTestId("edit-diff")).toHaveText("−removed: echo asked | tee -a count+added: echo edited | tee -a count");
  await page.getByTestId("edit-send").click();
  await became(page, "executed");
  expect([agent.counted("asked"), agent.counted("edited")]).toEqual([0, 1]);

  agent.write("tree", "");
  const second = await agent.asks(agent.counts("second"));
  await review(page, second.id);
  await page.getByTestId("edit").click();
  await page.getByTestId("edit-text").fill("rm -rf tree");
  await page.getByTestId("edit-send").click();
  await became(page, "superseded");
  expect(existsSync(join(agent.folder, "tree"))).toBe(true);
  await page.getByTestId("show-successor").click();
  await expect(page.getByTestId("approval-payload")).toHaveText("rm -rf tree");
  await expect(page.getByTestId("changes")).toContainText("removed: echo second | tee -a countadded: rm -rf tree".replace("added", "+added"));
  await page.getByTestId("approve").click();
  await became(page, "executed");
  expect(existsSync(join(agent.folder, "tree"))).toBe(false);
  expect(agent.counted("second")).toBe(0);
});

test("what changed since it was shown is not run; the page says what, and asks again", async ({ baton, page }) => {
  const agent = await Agent.start(baton);
  await open(page, baton, agent.session);
  agent.write("deploy.sh", "echo harmless\n");
  const asked = await agent.asks("sh deploy.sh | tee -a count");
  await review(page, asked.id);
  agent.write("deploy.sh", "echo harmful\n");
  await page.getByTestId("approve").click();
  await became(page, "void");
  expect(agent.counted("harmless") + agent.counted("harmful")).toBe(0);
  await expect(page.getByTestId("outcome")).toContainText("Nothing was done");
  await expect(page.getByTestId("changes")).toHaveText(`The file ${join(agent.folder, "deploy.sh")} was changed or replaced since.`);
  await expect(page.getByTestId("approve")).toHaveCount(0);
  await page.getByTestId("show-successor").click();
  // The new one says it too, for whoever did not see the old one.
  await expect(page.getByTestId("what-changed")).toContainText("deploy.sh was changed or replaced since");
  await page.getByTestId("approve").click();
  await became(page, "executed");
  expect([agent.counted("harmless"), agent.counted("harmful")]).toEqual([0, 1]);
});

test("a yes for the session is told as the rule it is, and the same is not asked again", async ({ baton, page }) => {
  const agent = await Agent.start(baton);
  await open(page, baton, agent.session);
  const line = "echo same | tee";
  const asked = await agent.asks(line);
  await review(page, asked.id);
  await expect(page.getByTestId("remember-rule")).toHaveCount(0);
  await page.getByTestId("remember-session").check();
  await expect(page.getByTestId("remember-rule")).toHaveText(`The rule: ${asked.remember_rule ?? ""}.`);
  await page.getByTestId("approve").click();
  await became(page, "executed");
  const again = await baton.ask("POST", agent.at("exec"), { client_id: "agent:fixer", command: line, timeout_s: 20 }, agent.token);
  expect(again.status).toBe(200);
});

test("held input is shown byte for byte, and can be changed", async ({ baton, page }) => {
  const agent = await Agent.start(baton);
  await open(page, baton, agent.session);
  await baton.api("PATCH", `/v1/sessions/${agent.session}`, { agent_input: "held" });
  const { json } = await baton.ask<{ approval_id: string }>("POST", agent.at("input"), { client_id: "agent:fixer", text: "touch asked\r" }, agent.token);
  await review(page, json.approval_id);
  await expect(page.getByTestId("approval-payload")).toHaveText("touch asked\\r");
  await page.getByTestId("edit").click();
  await page.getByTestId("edit-text").fill("touch typed\\r");
  await page.getByTestId("edit-send").click();
  await became(page, "executed");
  await expect.poll(() => existsSync(join(agent.folder, "typed"))).toBe(true);
  expect(existsSync(join(agent.folder, "asked"))).toBe(false);
});

test("a session that is not confined is told with all that it would have", async ({ baton, page }) => {
  const agent = await Agent.start(baton);
  await open(page, baton, agent.session);
  const request = { command: ["sleep", "1000"], cwd: agent.folder, sandbox: "host", title: "outside", env: { SAID: "so" } };
  const { json } = await baton.ask<{ approval_id: string }>("POST", "/v1/terminal/sessions", request, agent.token);
  await review(page, json.approval_id);
  await expect(page.getByTestId("approval-title")).toHaveText("fixer asks to start a session that is not confined");
  await expect(page.getByTestId("approval-payload")).toHaveText("sleep 1000");
  await expect(page.getByTestId("approval-detail")).toContainText("SAID=so");
  await page.getByTestId("approve").click();
  await became(page, "executed");
  await page.getByRole("button", { name: "Show the session" }).click();
  await expect(page.locator("[data-testid='session-item'][aria-current]")).toContainText("outside");
});
