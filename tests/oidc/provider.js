// A real OpenID Connect provider for the tests: node provider.js PORT JWKS_FILE
// Its one client gets tokens for itself; which groups it is in, for whom and for how long they are, it may ask for.
const { Provider } = require("oidc-provider");
const { readFileSync } = require("node:fs");

const [port, file] = [Number(process.argv[2]), process.argv[3]];
const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: JSON.parse(readFileSync(file)),
  clients: [{
    client_id: "lan", client_secret: "only-for-this-test", grant_types: ["client_credentials"],
    redirect_uris: [], response_types: [],
  }],
  scopes: ["officers", "operators", "brief"],
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (ctx, resource) => ({
        scope: "officers operators brief", audience: resource, accessTokenFormat: "jwt",
        accessTokenTTL: (ctx.oidc.body.scope || "").includes("brief") ? 1 : 600,
        jwt: { sign: { alg: "RS256" } },
      }),
    },
  },
  extraTokenClaims: (ctx, token) => ({
    groups: (token.scope || "").split(" "), preferred_username: "Lan", unit: "police",
  }),
});
provider.listen(port, "127.0.0.1", () => console.log("ready"));
