// Pictures for the documentation: the window while it works, and the card that asks.
import { card, get } from "./stage.mjs";

export async function pictures(stage) {
  const agent = await stage.unlocked();
  const page = await stage.application();
  await get(page, "/patients?n=12");
  const waits = get(page, "/night");
  await card(agent);
  await agent.waitForFunction(() => !document.querySelector("#release").disabled);
  await agent.screenshot({ path: `${stage.world.folder}/agent-decision.png`, fullPage: true });
  await agent.emulateMedia({ colorScheme: "dark" });
  await agent.screenshot({ path: `${stage.world.folder}/agent-dark.png`, fullPage: true });
  await agent.keyboard.press("Escape");
  await waits;
}
