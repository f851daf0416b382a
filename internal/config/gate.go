package config

import "time"

// Gate is policy and route of one path.
type Gate struct {
	// Path is exact; with a trailing slash it means everything below. It is
	// compared with the request's path as sent, never decoded.
	Path string

	// To is the backend: ws://host:port/path, wss://…, or unix:/socket[:/path].
	To string

	Origins []string // scheme://host[:port] of pages that may open a connection
	Without string   // a missing Origin: "refuse" (default), or "bearer" for programs

	Auth  Auth
	Guard Guard

	Seal         string // sealed above TLS: "off" (default), "offered" or "required"
	RequireBound bool   // with "required": admit credentials only that are bound to a key. Default true

	Refuse string // refusals by policy: "close" (default) or "http"
	HTTP   string // requests here that are no upgrade: "refuse" (default, 426) or "guarded"

	Stream             bool // pass on parts of a message before all of it has come. Default false
	ForwardCredentials bool // let the verified bearer token through to the backend. Default false

	// DangerouslyPassMasked relays frames with the client's own mask, and text
	// unchecked. Its text is the reason; it is logged at start and shown in GET
	// /config.
	DangerouslyPassMasked string

	Backend Backend
}

// Auth says who may pass: Anonymous alone, or any of the others.
type Auth struct {
	JWT       *JWT
	Forward   *Forward
	Session   *Session
	Anonymous string // the reason why everybody may
}

// JWT admits bearers of a signed token (RFC 9068, RFC 8725).
type JWT struct {
	Issuer   string
	Audience string
	JWKS     string   // https URL, or file:/path; exactly one of JWKS and Secret is set
	Secret   Secret   // for HS256, HS384, HS512; at least as long as the hash
	Algs     []string // default ES256, EdDSA, PS256, RS256; with Secret HS256
	Types    []string // accepted "typ" headers; "" is a token without one. Default at+jwt, JWT

	// MaxLifetime refuses a token that has more than this left. Default and most 168h.
	MaxLifetime time.Duration
}

// Forward asks the application who the visitor is.
type Forward struct {
	URL     string
	Recheck time.Duration // between two questions about an open connection. Default 30s
	Grace   time.Duration // how long an unreachable application is borne. Default 60s
}

// Session admits by the door's own session cookie. It has no settings yet.
type Session struct{}

// Guard bounds the life of each connection.
type Guard struct {
	Idle           time.Duration // without a data message. Default 60s; it cannot be disabled
	IdleCounts     string        // whose messages count: "any" (default) or "client"
	Ping           time.Duration // between heartbeats. Default 25s
	PongWait       time.Duration // for the answer. Default 10s
	MaxLife        time.Duration // renewals included. Default and most 24h
	MaxMessage     Size          // from the client. Default 64 KiB
	MaxMessageDown Size          // from the backend. Default 16 MiB
	Messages       Rate          // from the client. Default 50/s
	Bytes          ByteRate      // from the client. Default 256 KiB/s
}

// Backend says how TLS to a wss:// backend is checked. The zero value trusts
// the authorities of the system.
type Backend struct {
	CA         string // PEM file of the authorities to trust instead
	ServerName string // name in the certificate, if not the host of To

	// DangerouslySkipVerify accepts any certificate. Its text is the reason; it
	// is logged at start and shown in GET /config.
	DangerouslySkipVerify string
}
