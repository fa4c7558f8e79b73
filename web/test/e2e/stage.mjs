// What scenarios share: pages of the agent and of the application, and how a person uses them.

export class Stage {
  complaints = [];

  constructor(context, world) {
    this.context = context;
    this.world = world;
    context.on("console", (message) => {
      // Browsers report every 428; it is how the flow begins.
      const isTold = ["error", "warning"].includes(message.type()) && !/status of 428/.test(message.text());
      if (isTold) this.complaints.push(message.text());
    });
    context.on("weberror", (error) => this.complaints.push(String(error.error())));
  }

  /** Take off the list the complaints that this scenario provokes; the others still fail it. */
  expectComplaints(...patterns) {
    this.complaints = this.complaints.filter((text) => !patterns.some((pattern) => pattern.test(text)));
  }

  /** A page of the application, or of another host that serves the same. */
  async application(origin = this.world.app) {
    const page = await this.context.newPage();
    await page.goto(origin);
    await page.waitForFunction(() => "twinlock" in window);
    return page;
  }

  /** A window of the agent, as it opens. */
  async window() {
    const page = await this.context.newPage();
    await page.goto(this.world.agent);
    return page;
  }

  /** A window of the agent that was set up and unlocked. */
  async unlocked() {
    const page = await this.window();
    await page.setInputFiles("#chosen", this.world.files);
    await this.unlock(page);
    return page;
  }

  /** Unlock a window that is open. */
  async unlock(page, passphrase = this.world.passphrase) {
    await page.getByLabel("Passphrase").fill(passphrase);
    await page.getByRole("button", { name: "Unlock" }).click();
    await page.getByRole("heading", { name: "Open for weber" }).waitFor();
  }

  /** The entries of the list of what was asked, as text. */
  async entries(agent) {
    return (await agent.locator("#done > li").allInnerTexts()).map((text) => text.replace(/\s+/g, " "));
  }
}

/** Fetch JSON through the client; what fails comes back as its code. */
export function get(page, path, init) {
  return page.evaluate(
    ([path, init]) => window.get(path, init).catch((error) => error.code ?? error.name),
    [path, init],
  );
}

/** Wait for the card that asks, and return it. */
export async function card(agent) {
  const found = agent.getByRole("region", { name: /^Release \d+ records?\?$/ });
  await found.waitFor();
  return found;
}

/** Press Release once it counts. */
export async function release(agent) {
  await (await card(agent)).getByRole("button", { name: "Release" }).click();
}
