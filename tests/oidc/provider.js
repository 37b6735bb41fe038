// A real OpenID Connect provider for the tests: node provider.js PORT JWKS_FILE CALLBACK
// Its client "lan" gets tokens for itself; which groups it is in, for whom and for how long they are, it may ask for.
// By its client "dashboard" people sign in: as whom says login_hint, "SUBJECT:GROUP,GROUP" ("deny": they decline).
const { Provider } = require("oidc-provider");
const { readFileSync } = require("node:fs");

const [port, file, callback] = [Number(process.argv[2]), process.argv[3], process.argv[4]];
const provider = new Provider(`http://127.0.0.1:${port}`, {
  jwks: JSON.parse(readFileSync(file)),
  clients: [{
    client_id: "lan", client_secret: "only-for-this-test", grant_types: ["client_credentials"],
    redirect_uris: [], response_types: [],
  }, {
    client_id: "dashboard", client_secret: "only-for-this-dashboard", application_type: "native",
    redirect_uris: [callback], token_endpoint_auth_method: "client_secret_basic",
  }],
  pkce: { required: () => true },
  conformIdTokenClaims: false,
  claims: { openid: ["sub", "groups", "unit"], profile: ["preferred_username"] },
  findAccount: (ctx, id) => ({
    accountId: id,
    claims: () => {
      const [sub, groups] = id.split(":");
      return { sub: id, groups: (groups || "").split(","), preferred_username: sub, unit: "police" };
    },
  }),
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  scopes: ["officers", "operators", "brief", "openid", "profile"],
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
  extraTokenClaims: (ctx, token) => token.kind === "ClientCredentials" ? {
    groups: (token.scope || "").split(" "), preferred_username: "Lan", unit: "police",
  } : {},
});
// Who comes signs in and agrees at once.
provider.use(async (ctx, next) => {
  if (!ctx.path.startsWith("/interaction/")) return next();
  const { params, session } = await provider.interactionDetails(ctx.req, ctx.res);
  const who = params.login_hint || "Mai:operators";
  let result = { error: "access_denied", error_description: "declined" };
  if (who !== "deny") {
    const grant = new provider.Grant({ accountId: session ? session.accountId : who, clientId: params.client_id });
    grant.addOIDCScope(params.scope);
    result = { login: { accountId: who }, consent: { grantId: await grant.save() } };
  }
  await provider.interactionFinished(ctx.req, ctx.res, result, { mergeWithLastSubmission: false });
  ctx.respond = false;
});
provider.listen(port, "127.0.0.1", () => console.log("ready"));
