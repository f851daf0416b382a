package report

// names are servers as readers know them.
var names = map[string]string{
	"sallyport":              "Sallyport, OnMessage",
	"sallyport-portable":     "Sallyport, OnMessage, portable engine",
	"sallyport-handler":      "Sallyport, Handler",
	"sallyport-relay":        "Sallyport, relay",
	"sallyport-relay-masked": "Sallyport, relay, frames passed as they are",
	"gorilla":                "gorilla/websocket",
	"coder":                  "coder/websocket",
	"gws":                    "lxzan/gws",
	"gobwas":                 "gobwas/ws",
	"centrifuge":             "centrifuge",
	"node":                   "ws (Node)",
	"nginx":                  "nginx",
	"haproxy":                "HAProxy",
	"caddy":                  "Caddy",
	"verify":                 "one ES256 verification",
}

// serverOrder is that of tables and plots: ours first.
var serverOrder = []string{
	"sallyport", "sallyport-portable", "sallyport-handler", "sallyport-relay", "sallyport-relay-masked",
	"gorilla", "coder", "gws", "gobwas", "centrifuge", "node", "nginx", "haproxy", "caddy", "verify",
}

// section is what the page says of a row.
type section struct {
	row    string
	alt    string // of the plot, for those who do not see it
	tables []table
	panels []panel
	shared bool // the panels have one scale
}

// table has a line for each server and a column for each case.
type table struct {
	title   string // with the unit
	columns []column
	base    string // the server to which ratios are given; empty: none
}

// column is one thing that was measured.
type column struct {
	head, of, what string
	scale          float64 // 0 counts as 1
	plain          bool    // no ratio
}

// panel is a column as bars.
type panel struct {
	title string
	column
}

// columns of the same thing in several cases, each its own head.
func columns(what string, cases ...string) (out []column) {
	for _, of := range cases {
		out = append(out, column{head: of, of: of, what: what})
	}
	return out
}

// byConns are columns of one size of messages.
func byConns(size string, conns ...string) (out []column) {
	for _, n := range conns {
		head := n + " connections"
		if n == "1" {
			head = "1 connection"
		}
		out = append(out, column{head: head, of: size + " × " + n, what: "cpu"})
	}
	return out
}

// bySize are columns of one number of connections.
func bySize(conns string, sizes ...string) (out []column) {
	for _, size := range sizes {
		out = append(out, column{head: size, of: size + " × " + conns, what: "cpu"})
	}
	return out
}

const kB = 1e-3

var sections = []section{
	{
		row: "idle", alt: "Memory for each idle connection, by server, fresh and after 16 KiB",
		tables: []table{{
			title: "Memory for each connection, kB (1 kB = 1000 bytes)", base: "gorilla",
			columns: []column{
				{"fresh", "fresh", "rss", kB, false},
				{"5 s after 16 KiB", "after 16 KiB", "rss", kB, false},
				{"PSS, fresh", "fresh", "pss", kB, true},
				{"kernel, all ends", "fresh", "kernel", kB, true},
			},
		}},
		panels: []panel{
			{"fresh, kB", column{of: "fresh", what: "rss", scale: kB}},
			{"5 s after each passed 16 KiB, kB", column{of: "after 16 KiB", what: "rss", scale: kB}},
		},
		shared: true,
	},
	{
		row: "echo", alt: "Processor time of the server for each message that comes back, by server",
		tables: []table{
			{"64 B, µs of the server for each message", byConns("64 B", "1", "64", "1000"), "gorilla"},
			{"1 KiB, µs", byConns("1 KiB", "1", "64", "1000"), "gorilla"},
			{"16 KiB, µs", byConns("16 KiB", "1", "64", "1000"), "gorilla"},
			{"16 messages of 64 B in one write, 64 connections", []column{{"µs for each message", "64 B × 64, 16 in a write", "cpu", 0, false}}, "gorilla"},
			{"64 B, 64 connections: rate and round trips", []column{
				{"messages/s", "64 B × 64", "rate", 0, true}, {"p50, µs", "64 B × 64", "p50", 0, true}, {"p99, µs", "64 B × 64", "p99", 0, true},
				{"of the µs in user mode", "64 B × 64", "user", 0, true},
			}, ""},
		},
		panels: []panel{
			{"64 B, 64 connections, µs", column{of: "64 B × 64", what: "cpu"}},
			{"16 KiB, 64 connections, µs", column{of: "16 KiB × 64", what: "cpu"}},
			{"16 messages of 64 B in one write, µs for each", column{of: "64 B × 64, 16 in a write", what: "cpu"}},
		},
	},
	{
		row: "fan", alt: "Processor time of the server for each delivery of a message to 1,000 subscribers, by server",
		tables: []table{
			{"µs of the server for each delivery, 1,000 subscribers", columns("cpu", "128 B, 16 under way", "1 KiB, 16 under way", "128 B, 1 under way", "1 KiB, 1 under way"), "gorilla"},
			{"Deliveries/s", columns("rate", "128 B, 16 under way", "1 KiB, 16 under way", "128 B, 1 under way", "1 KiB, 1 under way"), ""},
		},
		panels: []panel{
			{"128 B, 16 messages under way, µs", column{of: "128 B, 16 under way", what: "cpu"}},
			{"128 B, 1 message under way, µs", column{of: "128 B, 1 under way", what: "cpu"}},
		},
	},
	{
		row: "relay", alt: "Processor time of the relay for each message that comes back, by relay",
		tables: []table{
			{"64 connections, µs of the relay for each message", bySize("64", "64 B", "1 KiB", "16 KiB"), "nginx"},
			{"1,000 connections, µs", bySize("1000", "64 B", "1 KiB", "16 KiB"), "nginx"},
			{"64 B, 64 connections: rate and round trips", []column{
				{"messages/s", "64 B × 64", "rate", 0, true}, {"p50, µs", "64 B × 64", "p50", 0, true}, {"p99, µs", "64 B × 64", "p99", 0, true},
				{"of the µs in user mode", "64 B × 64", "user", 0, true},
			}, ""},
		},
		panels: []panel{
			{"64 B, 64 connections, µs", column{of: "64 B × 64", what: "cpu"}},
			{"1 KiB, 64 connections, µs", column{of: "1 KiB × 64", what: "cpu"}},
			{"16 KiB, 64 connections, µs", column{of: "16 KiB × 64", what: "cpu"}},
		},
	},
	{
		row: "admission", alt: "Processor time of the server for each new connection, by server",
		tables: []table{{"µs of the server for each new connection", columns("cpu", "X25519", "X25519MLKEM768"), "nginx"}},
		panels: []panel{{"X25519, µs", column{of: "X25519", what: "cpu"}}},
	},
	{
		row: "reconnect",
		tables: []table{
			{"µs of the server for each connection with an ES256 token", columns("cpu", "X25519", "X25519, resumed"), "gorilla"},
			{"Share of handshakes that resumed", columns("resumed", "X25519, resumed"), ""},
		},
	},
	{
		row: "storm",
		tables: []table{{"2,000 clients come back at once", []column{
			{"until the last is back, s", "all at once", "back", 0, true},
			{"half of them, ms", "all at once", "p50", kB, true},
			{"µs of the server for each", "all at once", "cpu", 0, true},
			{"tried again", "all at once", "again", 0, true},
			{"memory before, kB for each", "all at once", "open", kB, true},
			{"peak, kB for each", "all at once", "peak", kB, true},
		}, ""}},
	},
	{
		row: "flat",
		tables: []table{
			{"µs of the server for each message of 64 B, 100 busy connections", columns("cpu", "100 alone", "beside 7,900 idle"), ""},
			{"The second by the first", []column{{"change", "change", "ratio", 0, true}}, ""},
		},
	},
	{
		row: "revocation",
		tables: []table{{"From the call to the last byte on the last of four connections of a subject, 10,000 open", []column{
			{"p50, ms", "10,000 open", "p50", 0, true}, {"p99, ms", "10,000 open", "p99", 0, true},
			{"longest, ms", "10,000 open", "max", 0, true}, {"µs of the server for each", "10,000 open", "cpu", 0, true},
		}, ""}},
	},
}
