// Package order is what bench/run tells the load client bench/drive, and what it
// answers: one JSON object a line.
package order

// Order is one thing to do.
type Order struct {
	// Do is open, close, echo, once, fan, shake, storm, revoke or verify.
	Do string `json:"do"`

	// Where connections go.
	Address string `json:"address,omitempty"` // host:port to dial
	Path    string `json:"path,omitempty"`
	CA      string `json:"ca,omitempty"`     // file with the certificate to trust
	Tokens  string `json:"tokens,omitempty"` // file with a bearer token a line, used in turn
	Hybrid  bool   `json:"hybrid,omitempty"` // X25519MLKEM768; else X25519 alone
	Resume  bool   `json:"resume,omitempty"` // with a TLS session of before

	// Dialect is what messages look like: "" as they are, or "centrifuge": a remote
	// call in JSON, on a connection that said connect.
	Dialect string `json:"dialect,omitempty"`

	// Group is the name of the connections that are opened, used or closed.
	Group string `json:"group,omitempty"`

	N        int `json:"n,omitempty"`        // connections, or trials
	Parallel int `json:"parallel,omitempty"` // handshakes at once
	Size     int `json:"size,omitempty"`     // of a message, in bytes
	Depth    int `json:"depth,omitempty"`    // messages under way at once
	Warm     int `json:"warm,omitempty"`     // ms before anything is counted
	Millis   int `json:"millis,omitempty"`   // ms that are counted

	PID     int    `json:"pid,omitempty"`     // whose CPU time, with that of its children, is read
	Control string `json:"control,omitempty"` // address of the server's control, for revoke
}

// Answer is what came of it.
type Answer struct {
	Error string `json:"error,omitempty"` // the order failed as a whole

	N       int64   `json:"n"`       // messages, deliveries or handshakes that were counted
	Seconds float64 `json:"seconds"` // how long it took
	CPU     float64 `json:"cpu"`     // seconds, of the server
	User    float64 `json:"user"`    // of it in user mode
	Own     float64 `json:"own"`     // seconds, of the load client itself
	P50     float64 `json:"p50"`     // µs: of a round trip, a handshake, a revocation
	P99     float64 `json:"p99"`     // µs
	Max     float64 `json:"max"`     // µs
	Resumed int64   `json:"resumed"` // handshakes that resumed a TLS session

	Failed  int            `json:"failed"`            // connections that were lost or refused
	Reasons map[string]int `json:"reasons,omitempty"` // and why
}
