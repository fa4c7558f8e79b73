// Step 6 of docs/tutorial.md in a real Chromium: node web/test/e2e/clinic-tutorial.mjs JSON
//
// JSON: {page, files, passphrase, shown, chromium}. tests/clinic/test_tutorial.py runs it.
import assert from "node:assert/strict";
import { chromium } from "playwright-core";

const given = JSON.parse(process.argv[2]);
const browser = await chromium.launch({
  executablePath: given.chromium,
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-dev-shm-usage"],
});
try {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.goto(given.page);
  await page.getByRole("button", { name: "Sign in as weber" }).click();
  const opening = context.waitForEvent("page");
  await page.getByRole("button", { name: "Open the agent" }).click();
  const agent = await opening;
  await agent.locator("#files").waitFor();
  await agent.locator("#chosen").setInputFiles(given.files);
  await agent.getByText("member file of weber").waitFor();
  await agent.getByLabel("Passphrase").fill(given.passphrase);
  await agent.getByRole("button", { name: "Unlock" }).click();
  await page.locator("#patients li").nth(given.shown.length - 1).waitFor();
  assert.deepEqual(await page.locator("#patients li").allInnerTexts(), given.shown);
} finally {
  await browser.close();
}
