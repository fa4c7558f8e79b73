// Pictures for the documentation: setting up, the card that asks, the window while it works.
import { card, get, release } from "./stage.mjs";

export async function pictures(stage) {
  const { folder } = stage.world;
  const agent = await stage.window();
  const picture = (name) => agent.screenshot({ path: `${folder}/agent-${name}.png`, fullPage: true });
  await agent.setInputFiles("#chosen", stage.world.files);
  await agent.getByText("member file of weber").waitFor();
  await picture("setup");
  await stage.unlock(agent);
  const page = await stage.application();
  await get(page, "/patients?n=12");
  const waits = get(page, "/night");
  await card(agent);
  await agent.waitForFunction(() => !document.querySelector("#release").disabled);
  await picture("decision");
  await release(agent);
  await waits;
  await get(page, "/patients?n=3&at=20");
  await agent.emulateMedia({ colorScheme: "dark" });
  await picture("dark");
}
