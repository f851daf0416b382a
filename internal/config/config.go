package config

import "time"

// File is the effective configuration: every default filled in, every rule of
// this package checked. [Load] and [FromFlags] are the only ways to make one.
type File struct {
	// Listen is the public address: host:port, or unix:/path behind a proxy
	// that ends TLS. Default ":8443", with tls.dev "127.0.0.1:8443".
	Listen string

	// Hosts are the names under which the door may be asked for. Empty means
	// the names of the certificate; with tls.dev the loopback names.
	Hosts []string

	// TrustedProxies may name the client in X-Forwarded-For. Default: the
	// peers of tls.terminated_by.
	TrustedProxies Peers

	// State is the directory of revocations, sessions and keys, or "memory".
	State string

	Admin  Admin
	Health string // host:port of /livez, /readyz, /metrics; "off" for none
	App    string // http(s) URL that gets every path that is neither gate nor endpoint; empty for none
	Engine string // "auto" (on Linux connections are polled) or "portable". Default "auto"

	Limits   Limits
	API      API
	TLS      TLS
	Defaults Gate   // what gates share; its Path is empty
	Gates    []Gate // at least one
	Identity Identity
	Sealing  Sealing
	Log      Log
	Shutdown Shutdown
}

// InMemory reports whether nothing survives a restart.
func (f *File) InMemory() bool { return f.State == "memory" }

// Admin is where the administrator's API listens.
type Admin struct {
	// Listen is "unix" (a socket, mode 0600, in the state directory),
	// "unix:/path", "host:port", or "off". Default "unix".
	Listen string

	// Token must be presented over TCP. At least 256 bits: 64 hexadecimal
	// digits or 43 characters of base64url. Unset for unix sockets.
	Token Secret
}

// Limits bound the whole process; what is over them is refused with guard.full.
type Limits struct {
	Connections     int  // open connections. Default 50000
	PerAddress      int  // of one client address, over all gates. Default 256
	PerSubject      int  // of one subject, over all gates. Default 16
	Buffered        Size // bytes in all queues together. Default 512 MiB
	Unauthenticated int  // connections that have not yet said who they are. Default 1000
	Handshakes      int  // TLS handshakes in progress at a time. Default 256
	Body            Size // bytes of one request's body: guarded HTTP and the app. Default 1 MiB
}

// API is the door's own HTTP endpoints.
type API struct {
	Prefix   string   // path under which they lie. Default "/sallyport"
	Origins  []string // origins of pages that may call them, besides the door's own
	GetToken bool     // also answer GET getToken, which browsers must ask from the same origin. Default false
}

// TLS says how the public listener is protected: exactly one of Dev, Files and
// TerminatedBy is set.
type TLS struct {
	Dev          bool      // a certificate of a local CA; loopback listeners only
	Files        []KeyPair // served by name, reloaded when they change
	TerminatedBy Peers     // these peers end TLS; plaintext from nobody else
	MinVersion   string    // "1.3" (default) or "1.2"
}

// KeyPair names the PEM files of a certificate chain and its private key. The
// key must not be readable by others.
type KeyPair struct{ Cert, Key string }

// Identity says how the backend learns who is connected, besides the signed
// Sallyport-Identity header.
type Identity struct {
	Headers  map[string]string // header name to claim: sub, iss, session, scopes or method
	Audience string            // of the signed header. Empty: the gate's backend
}

// Sealing is the keys of gates with a seal; "sallyport keys" makes them.
type Sealing struct {
	// Dir is the folder of the keys. Default "seal" in State; empty: they are made
	// at start and kept in memory.
	Dir string

	// Authorities are the names under which clients reach the door, host:port.
	// Empty: its own, and those of the keys.
	Authorities []string

	Renew  string   // "auto" (default): where an identity lies in Dir, keys are replaced in time; "manual"
	Suites []string // of keys. Empty: those that there are, else MLKEM768-X25519
}

// Log says what is written to the standard error stream.
type Log struct {
	Format string // "auto" (text on a terminal, else json), "text" or "json". Default "auto"
	Level  string // "debug", "info", "warn" or "error". Default "info"
}

// Shutdown is what happens between SIGTERM and the end.
type Shutdown struct {
	Delay time.Duration // not ready, still serving: for load balancers. Default 0
	Drain time.Duration // connections are closed spread over this long. Default 25s
}
