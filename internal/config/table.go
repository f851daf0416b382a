package config

import (
	"strings"
	"time"
)

// row is one key: everything that is known of it. T is the struct it belongs to.
type row[T any] struct {
	key    string // dotted, from the top or from the gate
	doc    string // what it does, what happens at the limit; one paragraph
	def    string // default as written in a file; lists with commas; empty: none
	note   string // what the default is, where it is computed
	oneOf  string // the words allowed, separated by spaces
	least  int64  // smallest and …
	most   int64  // … largest number, bytes or nanoseconds
	secret bool   // a reference; an inline value is never repeated
	path   bool   // a file's name, made absolute
	in     func(*T) any
}

// section is a mapping of keys that is always there.
type section struct{}

// optional is a mapping of keys that is there only when it is written.
type optional struct{ make func() }

const (
	second = int64(time.Second)
	hour   = int64(time.Hour)
	kib    = int64(1 << 10)
	mib    = int64(1 << 20)
	gib    = int64(1 << 30)
)

// top is every key outside gates. A section comes before its keys.
var top = []row[File]{
	{key: "listen", def: ":8443", note: "with tls.dev 127.0.0.1:8443", in: func(f *File) any { return &f.Listen },
		doc: "The public address, host:port. unix:/path is accepted where tls.terminated_by names unix."},
	{key: "hosts", in: func(f *File) any { return &f.Hosts }, note: "the names of the certificate; with tls.dev localhost, *.localhost, 127.0.0.1, [::1]",
		doc: "The host names under which the door may be asked for; every other Host is refused with 421, which stops DNS rebinding. Required with tls.terminated_by."},
	{key: "trusted_proxies", in: func(f *File) any { return &f.TrustedProxies }, note: "the peers of tls.terminated_by",
		doc: "Address ranges, or unix, whose X-Forwarded-For is believed. The client's address is the right-most hop that is not among them."},
	{key: "state", in: func(f *File) any { return &f.State }, path: true, note: "$STATE_DIRECTORY, else $XDG_STATE_HOME/sallyport, else ~/.local/state/sallyport",
		doc: "The directory of revocations, sessions, signing keys and the development authority. \"memory\" keeps them in memory: a restart then un-revokes everything, which is logged."},

	{key: "admin", in: func(*File) any { return section{} },
		doc: "The administrator's API. \"admin: unix\" is short for its key listen."},
	{key: "admin.listen", def: "unix", in: func(f *File) any { return &f.Admin.Listen },
		doc: "unix (a socket of mode 0600 in the state directory), unix:/path, host:port (needs admin.token), or off."},
	{key: "admin.token", secret: true, in: func(f *File) any { return &f.Admin.Token },
		doc: "The bearer token that the administrator's API wants over TCP: at least 256 bits, that is 64 hexadecimal digits or 43 characters of base64url."},
	{key: "health", def: "127.0.0.1:9090", in: func(f *File) any { return &f.Health },
		doc: "The address of /livez, /readyz and /metrics, or off. It is read-only and has no authentication, so keep it from the public."},
	{key: "app", in: func(f *File) any { return &f.App },
		doc: "The http or https URL of the application, which gets every path that is neither a gate nor an endpoint of the door, as ordinary HTTP. Page, cookies and socket then share one origin."},
	{key: "engine", def: "auto", oneOf: "auto portable", in: func(f *File) any { return &f.Engine },
		doc: "Who calls a connection when bytes arrive. auto polls on Linux, so that an idle connection has neither goroutine nor buffer; portable has a goroutine and a buffer for each, as auto has elsewhere. A change needs a restart."},

	{key: "limits", in: func(*File) any { return section{} }, doc: "Bounds of the whole process. What is over them is refused with guard.full."},
	{key: "limits.connections", def: "50000", least: 1, most: 10_000_000, in: func(f *File) any { return &f.Limits.Connections },
		doc: "Most open connections. Lowered to what the limit of open files allows, which is logged; with a warning if the number was configured."},
	{key: "limits.per_address", def: "256", least: 1, most: 10_000_000, in: func(f *File) any { return &f.Limits.PerAddress },
		doc: "Most connections of one client address, counted over all gates."},
	{key: "limits.per_subject", def: "16", least: 1, most: 10_000_000, in: func(f *File) any { return &f.Limits.PerSubject },
		doc: "Most connections of one subject, counted over all gates."},
	{key: "limits.buffered", def: "512MiB", least: mib, most: 1 << 44, in: func(f *File) any { return &f.Limits.Buffered },
		doc: "Most bytes in all queues and unfinished messages together."},
	{key: "limits.unauthenticated", def: "1000", least: 1, most: 10_000_000, in: func(f *File) any { return &f.Limits.Unauthenticated },
		doc: "Most connections whose credential is not yet known to be good."},
	{key: "limits.handshakes", def: "256", least: 1, most: 10_000_000, in: func(f *File) any { return &f.Limits.Handshakes },
		doc: "Most TLS handshakes in progress at a time."},
	{key: "limits.body", def: "1MiB", least: kib, most: 1 << 40, in: func(f *File) any { return &f.Limits.Body },
		doc: "The largest body of an ordinary request, to the app or a gate with http: guarded; a larger one is answered with 413. Raise it for uploads."},

	{key: "api", in: func(*File) any { return section{} }, doc: "The door's own endpoints: ticket, token, renew, logout, session."},
	{key: "api.prefix", def: "/sallyport", in: func(f *File) any { return &f.API.Prefix },
		doc: "The path under which the endpoints lie. No gate may lie under it."},
	{key: "api.origins", in: func(f *File) any { return &f.API.Origins },
		doc: "Origins of pages that may call the endpoints, besides the door's own. A gate's origins may ask for tickets of that gate without being listed."},
	{key: "api.get_token", def: "false", in: func(f *File) any { return &f.API.GetToken },
		doc: "Also answer GET getToken, with a short-lived token for the session. It demands Sec-Fetch-Site: same-origin."},

	{key: "tls", in: func(*File) any { return section{} }, doc: "How the public listener is protected: exactly one of dev, files and terminated_by."},
	{key: "tls.dev", def: "false", in: func(f *File) any { return &f.TLS.Dev },
		doc: "Development: a certificate of a local authority kept in state, loopback listeners only, http:// and https:// origins of loopback hosts may be listed, no HSTS."},
	{key: "tls.files", in: func(f *File) any { return &f.TLS.Files },
		doc: "Certificates: a list of {cert: chain.pem, key: key.pem}, chosen by name and reloaded when they change, without cutting connections. Key files must not be readable by others."},
	{key: "tls.terminated_by", in: func(f *File) any { return &f.TLS.TerminatedBy },
		doc: "Address ranges, or unix, of proxies that end TLS. Plaintext is accepted from them alone, and only with X-Forwarded-Proto: https. Logged at start."},
	{key: "tls.min_version", def: "1.3", oneOf: "1.2 1.3", in: func(f *File) any { return &f.TLS.MinVersion },
		doc: "The oldest TLS version. 1.2 is for clients that cannot do better."},

	{key: "identity", in: func(*File) any { return section{} }, doc: "What the backend learns of who is connected, besides the signed Sallyport-Identity header."},
	{key: "identity.headers", in: func(f *File) any { return &f.Identity.Headers },
		doc: "Plain headers for backends that check no signature: a mapping of header name to sub, iss, session, scopes or method. The client's own copies are removed."},
	{key: "identity.audience", in: func(f *File) any { return &f.Identity.Audience }, note: "the gate's backend",
		doc: "The audience of the signed Sallyport-Identity header."},

	{key: "sealing", in: func(*File) any { return section{} }, doc: "The keys of gates with a seal. \"sallyport keys generate\" makes them; with tls.dev the server does."},
	{key: "sealing.dir", path: true, in: func(f *File) any { return &f.Sealing.Dir }, note: "seal in state; in memory, with state: memory",
		doc: "The folder of sealing keys and identity. Nobody else may read it."},
	{key: "sealing.authorities", in: func(f *File) any { return &f.Sealing.Authorities }, note: "the door's own names, and those that the keys were made for",
		doc: "The names under which clients reach the door, as host:port: app.example.com:443. Each gets a signed document of its own; at most 16."},
	{key: "sealing.renew", def: "auto", oneOf: "auto manual", in: func(f *File) any { return &f.Sealing.Renew },
		doc: "auto replaces keys 7 days before they end, if the identity lies in the folder. manual, and without the identity auto too, warns from then on."},
	{key: "sealing.suites", in: func(f *File) any { return &f.Sealing.Suites }, note: "those that there are keys of, else MLKEM768-X25519",
		doc: "The suites that are used: MLKEM768-X25519, and X25519 for clients that cannot do ML-KEM, which a quantum computer will read. Where the server renews keys by itself, those of other suites are dropped."},

	{key: "log", in: func(*File) any { return section{} }, doc: "What is written to the standard error stream. Tokens, cookies, query strings and payload never are."},
	{key: "log.format", def: "auto", oneOf: "auto text json", in: func(f *File) any { return &f.Log.Format },
		doc: "auto is text on a terminal and json elsewhere."},
	{key: "log.level", def: "info", oneOf: "debug info warn error", in: func(f *File) any { return &f.Log.Level },
		doc: "The least important lines that are written."},

	{key: "shutdown", in: func(*File) any { return section{} }, doc: "What happens after SIGTERM."},
	{key: "shutdown.delay", def: "0s", least: 0, most: hour / 6, in: func(f *File) any { return &f.Shutdown.Delay },
		doc: "How long to serve on while /readyz already says no, so that load balancers notice."},
	{key: "shutdown.drain", def: "25s", least: second, most: hour, in: func(f *File) any { return &f.Shutdown.Drain },
		doc: "How long the closing of connections is spread over."},
}

// perGate is every key of a gate, and so of "defaults".
var perGate = []row[Gate]{
	{key: "path", in: func(g *Gate) any { return &g.Path },
		doc: "The path of the gate, exact; with a trailing slash everything below it. It is compared as sent, never decoded."},
	{key: "to", in: func(g *Gate) any { return &g.To },
		doc: "The backend: ws://host:port/path, wss://host/path, or unix:/socket, unix:/socket:/path."},
	{key: "origins", in: func(g *Gate) any { return &g.Origins },
		doc: "The web origins whose pages may open a connection: https://app.example.com, https://*.example.com (one whole label). Everything else is refused with origin.untrusted."},
	{key: "without", def: "refuse", oneOf: "refuse bearer", in: func(g *Gate) any { return &g.Without },
		doc: "What becomes of a handshake without Origin. bearer admits programs: no Cookie, and an Authorization header or a ticket made with one; no browser page can do that."},

	{key: "auth", in: func(*Gate) any { return section{} }, doc: "Who may pass: anonymous alone, or one or more of jwt, forward, session. It is taken whole, never mixed with that of defaults."},
	{key: "auth.jwt", in: func(g *Gate) any { return optional{func() { g.Auth.JWT = new(JWT) }} }, doc: "Bearers of a signed token."},
	{key: "auth.jwt.issuer", in: func(g *Gate) any { return &g.Auth.JWT.Issuer }, doc: "The exact value of iss. Required."},
	{key: "auth.jwt.audience", in: func(g *Gate) any { return &g.Auth.JWT.Audience }, doc: "The value that aud must have or contain: the name of this service. Required, since a token for another service would pass without it."},
	{key: "auth.jwt.jwks", in: func(g *Gate) any { return &g.Auth.JWT.JWKS }, doc: "Where the issuer's keys are: an https URL (http to loopback only), or file:/path. Exactly one of jwks and secret is set."},
	{key: "auth.jwt.secret", secret: true, in: func(g *Gate) any { return &g.Auth.JWT.Secret }, doc: "The shared key of HS256 (at least 32 bytes), HS384 (48) or HS512 (64)."},
	{key: "auth.jwt.algs", in: func(g *Gate) any { return &g.Auth.JWT.Algs }, note: "ES256, EdDSA, PS256, RS256; with secret HS256",
		doc: "The signature algorithms accepted: ES256, ES384, ES512, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512; with secret HS256, HS384, HS512."},
	{key: "auth.jwt.types", def: "at+jwt,JWT", in: func(g *Gate) any { return &g.Auth.JWT.Types }, doc: "The values of the header typ that are accepted; \"\" stands for a token without one."},
	{key: "auth.jwt.max_lifetime", def: "168h", least: second, most: 168 * hour, in: func(g *Gate) any { return &g.Auth.JWT.MaxLifetime },
		doc: "Refuses tokens that have more than this left. Revocations are kept for 168h, so no more is possible."},
	{key: "auth.forward", in: func(g *Gate) any { return optional{func() { g.Auth.Forward = new(Forward) }} }, doc: "Ask the application's own endpoint who the visitor is. It gets Cookie, Authorization and Origin and answers 200 with {sub, …}, or 401 or 403."},
	{key: "auth.forward.url", in: func(g *Gate) any { return &g.Auth.Forward.URL }, doc: "The http or https URL of the endpoint. Required."},
	{key: "auth.forward.recheck", def: "30s", least: second, most: hour, in: func(g *Gate) any { return &g.Auth.Forward.Recheck },
		doc: "How often it is asked again about an open connection."},
	{key: "auth.forward.grace", def: "60s", least: 0, most: hour, in: func(g *Gate) any { return &g.Auth.Forward.Grace },
		doc: "How long connections stay when it cannot be reached."},
	{key: "auth.session", in: func(g *Gate) any { return optional{func() { g.Auth.Session = new(Session) }} }, doc: "Bearers of the door's own session cookie. Write session: {}."},
	{key: "auth.anonymous", in: func(g *Gate) any { return &g.Auth.Anonymous }, doc: "Admit everybody from the listed origins. Its text is the reason, a sentence; it is logged at start. It stands alone."},

	{key: "guard", in: func(*Gate) any { return section{} }, doc: "Bounds of the life of each connection. None can be switched off."},
	{key: "guard.idle", def: "60s", least: second, most: 24 * hour, in: func(g *Gate) any { return &g.Guard.Idle },
		doc: "Ends a connection on which no data message was exchanged for this long, with guard.idle. Heartbeats do not count. At 25s or less set ping too, and at 10s or less pong_wait."},
	{key: "guard.idle_counts", def: "any", oneOf: "any client", in: func(g *Gate) any { return &g.Guard.IdleCounts }, doc: "Whose messages count against idle."},
	{key: "guard.ping", def: "25s", least: second, most: hour, in: func(g *Gate) any { return &g.Guard.Ping }, doc: "The silence after which the peer is asked for a sign of life. Shorter than idle."},
	{key: "guard.pong_wait", def: "10s", least: second, most: hour / 6, in: func(g *Gate) any { return &g.Guard.PongWait }, doc: "How long the peer may take to answer before it counts as lost. Shorter than idle."},
	{key: "guard.max_life", def: "24h", least: second, most: 24 * hour, in: func(g *Gate) any { return &g.Guard.MaxLife }, doc: "Ends every connection, renewed or not, with guard.max-life."},
	{key: "guard.max_message", def: "64KiB", least: 1, most: gib, in: func(g *Gate) any { return &g.Guard.MaxMessage }, doc: "The largest message from the client. A bigger one ends the connection with guard.too-big."},
	{key: "guard.max_message_down", def: "16MiB", least: 1, most: gib, in: func(g *Gate) any { return &g.Guard.MaxMessageDown }, doc: "The largest message from the backend."},
	{key: "guard.messages", def: "50/s", least: 1, most: 1_000_000, in: func(g *Gate) any { return &g.Guard.Messages }, doc: "Messages of one client a second. Over it the door reads more slowly; who keeps on for 5s ends with guard.too-fast."},
	{key: "guard.bytes", def: "256KiB/s", least: kib, most: 1 << 40, in: func(g *Gate) any { return &g.Guard.Bytes }, doc: "Bytes of one client a second, as messages. The burst is at least one max_message."},

	{key: "seal", def: "off", oneOf: "off offered required", in: func(g *Gate) any { return &g.Seal }, doc: "Encryption above TLS, so that whoever ends TLS in between reads and changes nothing: offered for clients that ask for it, required of all. Needs sealing keys."},
	{key: "require_bound", def: "true", in: func(g *Gate) any { return &g.RequireBound }, doc: "With seal: required, refuses credentials that are bound to no key (cnf in a token): anybody in between that got hold of one could use it. false admits them, which is logged."},
	{key: "refuse", def: "close", oneOf: "close http", in: func(g *Gate) any { return &g.Refuse }, doc: "How a refusal by policy is told: close completes the upgrade and closes with the code, since a page learns nothing from a failed handshake; http answers 401 or 403."},
	{key: "http", def: "refuse", oneOf: "refuse guarded", in: func(g *Gate) any { return &g.HTTP }, doc: "Requests on this path that are no upgrade: refuse answers 426; guarded sends them through the same checks, for backends that also poll (Socket.IO, SockJS, SignalR)."},
	{key: "stream", def: "false", in: func(g *Gate) any { return &g.Stream }, doc: "Pass on the parts of a client's message before all of it has come. The backend then sees the beginnings of messages that turn out to be too big."},
	{key: "forward_credentials", def: "false", in: func(g *Gate) any { return &g.ForwardCredentials }, doc: "Let the bearer token that jwt verified through to the backend."},
	{key: "dangerously_pass_masked", in: func(g *Gate) any { return &g.DangerouslyPassMasked }, doc: "Pass a client's messages on as they arrive and as the client masked them, without looking into them. Text may then not be UTF-8, the backend sees the beginnings of messages that turn out to be too big, and a client can choose the bytes that go through whatever is between the door and the backend (RFC 6455, section 10.3). Limits and all other rules hold. Clients that speak sallyport.v1 or seal are relayed as without it; seal: required excludes it. Its text is the reason, a sentence; it is logged at start."},

	{key: "backend", in: func(*Gate) any { return section{} }, doc: "How TLS to a wss:// backend is checked."},
	{key: "backend.ca", path: true, in: func(g *Gate) any { return &g.Backend.CA }, note: "the authorities of the system", doc: "A PEM file of the authorities to trust instead of those of the system."},
	{key: "backend.server_name", in: func(g *Gate) any { return &g.Backend.ServerName }, note: "the host of to", doc: "The name that the backend's certificate must have."},
	{key: "backend.dangerously_skip_verify", in: func(g *Gate) any { return &g.Backend.DangerouslySkipVerify }, doc: "Accept any certificate of the backend, so that whoever is in between reads and changes everything. Its text is the reason, a sentence; it is logged at start."},
}

// entry is a row of either table without its struct: what names, types and
// documents the key.
type entry struct {
	key, doc, def, note, oneOf string
	least, most                int64
	secret, path               bool
	target                     any
}

// entries returns the keys of the top level, or of a gate, in order.
func entries(gate bool) []entry {
	if gate {
		return describe(perGate, &Gate{Auth: Auth{JWT: new(JWT), Forward: new(Forward)}})
	}
	return append(describe(top, new(File)),
		entry{key: "defaults", target: section{}, doc: "What gates share: a gate without a path. A gate takes what it does not say from here: guard and backend key by key, all other keys (auth too) whole."},
		entry{key: "gates", target: section{}, doc: "A list: policy and route of one path each. Without a gate nothing can be served."})
}

func describe[T any](rows []row[T], to *T) []entry {
	var out []entry
	for _, r := range rows {
		out = append(out, r.entry(r.in(to)))
	}
	return out
}

// isSection reports whether e is a mapping of further keys.
func (e entry) isSection() bool {
	switch e.target.(type) {
	case section, optional:
		return true
	}
	return false
}

// find returns the entry of a key, given without index: "gates.guard.idle",
// "defaults.guard.idle" and "listen" are keys.
func find(key string) (entry, bool) {
	for _, scope := range []string{"gates.", "defaults."} {
		if rest, ok := strings.CutPrefix(key, scope); ok {
			if rest == "path" && scope == "defaults." {
				return entry{}, false
			}
			return findIn(gateEntries, rest)
		}
	}
	return findIn(topEntries, key)
}

func findIn(list []entry, key string) (entry, bool) {
	for _, e := range list {
		if e.key == key {
			return e, true
		}
	}
	return entry{}, false
}

var (
	topEntries  = entries(false)
	gateEntries = entries(true)
)
