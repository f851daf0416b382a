package report

import (
	"fmt"
	"strings"

	"github.com/sallyport/sallyport/bench/result"
)

// target is a promise: ours, divided by theirs if there is one, is at most limit.
type target struct {
	text  string
	row   string
	ours  figure
	unit  string // of an absolute one: "kB", "ms"
	scale float64

	theirs []figure // the least of them, if there are any
	plus   figure   // comes to theirs
	limit  float64
}

// figure is one that was measured.
type figure struct{ server, of, what string }

// conns reads the name of a case aloud.
func conns(of string) string {
	size, n, _ := strings.Cut(of, " × ")
	if n == "1" {
		return size + ", 1 connection"
	}
	return size + ", " + n + " connections"
}

func cpu(server, of string) figure { return figure{server, of, "cpu"} }

var goPeers = []string{"gorilla", "coder", "gws", "gobwas"}

// targets are in the order of the page.
var targets = makeTargets()

func makeTargets() (out []target) {
	for _, idle := range []struct {
		server string
		limit  float64
	}{{"sallyport", 7}, {"sallyport-relay", 9}, {"sallyport-handler", 14}} {
		fresh := figure{idle.server, "fresh", "rss"}
		out = append(out,
			target{text: "idle connection: " + names[idle.server], row: "idle", ours: fresh, unit: "kB", scale: kB, limit: idle.limit},
			target{text: "… 5 s after 16 KiB, of fresh", row: "idle", ours: figure{idle.server, "after 16 KiB", "rss"}, theirs: []figure{fresh}, limit: 1.1})
	}
	for _, n := range []int{1, 64, 1000} {
		of := fmt.Sprintf("64 B × %d", n)
		var best []figure
		for _, p := range goPeers {
			best = append(best, cpu(p, of))
		}
		out = append(out, target{text: "echo, " + conns(of) + ", of gorilla", row: "echo", ours: cpu("sallyport", of), theirs: []figure{cpu("gorilla", of)}, limit: 0.8},
			target{text: "echo, " + conns(of) + ", of the best Go library", row: "echo", ours: cpu("sallyport", of), theirs: best, limit: 1})
	}
	for _, n := range []int{1, 64, 1000} {
		of := fmt.Sprintf("16 KiB × %d", n)
		out = append(out, target{text: "echo, " + conns(of) + ", of gorilla", row: "echo", ours: cpu("sallyport", of), theirs: []figure{cpu("gorilla", of)}, limit: 0.55},
			target{text: "echo, " + conns(of) + ", of gws", row: "echo", ours: cpu("sallyport", of), theirs: []figure{cpu("gws", of)}, limit: 0.8})
	}
	of := "64 B × 64, 16 in a write"
	out = append(out, target{text: "echo, 16 in a write, of gorilla", row: "echo", ours: cpu("sallyport", of), theirs: []figure{cpu("gorilla", of)}, limit: 1. / 6})
	for _, f := range []struct {
		of, peer string
		limit    float64
	}{
		{"128 B, 16 under way", "gorilla", 1. / 10}, {"128 B, 16 under way", "gws", 1. / 8},
		{"1 KiB, 16 under way", "gorilla", 1. / 6}, {"1 KiB, 16 under way", "gws", 1. / 6},
		{"128 B, 1 under way", "gorilla", 0.75}, {"1 KiB, 1 under way", "gorilla", 0.75},
	} {
		out = append(out, target{text: "fan-out, " + f.of + ", of " + f.peer, row: "fan", ours: cpu("sallyport", f.of), theirs: []figure{cpu(f.peer, f.of)}, limit: f.limit})
	}
	for _, n := range []int{64, 1000} {
		for _, size := range []string{"64 B", "1 KiB"} {
			of := fmt.Sprintf("%s × %d", size, n)
			out = append(out, target{text: "relay, " + conns(of) + ", of nginx", row: "relay", ours: cpu("sallyport-relay", of), theirs: []figure{cpu("nginx", of)}, limit: 1.15},
				target{text: "relay, " + conns(of) + ", of HAProxy", row: "relay", ours: cpu("sallyport-relay", of), theirs: []figure{cpu("haproxy", of)}, limit: 1})
		}
		of := fmt.Sprintf("16 KiB × %d", n)
		out = append(out, target{text: "relay, " + conns(of) + ", of nginx", row: "relay", ours: cpu("sallyport-relay", of), theirs: []figure{cpu("nginx", of)}, limit: 0.7})
	}
	return append(out,
		target{text: "admission through the relay, of nginx's handshake and one verification", row: "admission", ours: cpu("sallyport-relay", "X25519"),
			theirs: []figure{cpu("nginx", "X25519")}, plus: cpu("verify", "X25519"), limit: 0.9},
		target{text: "reconnect, of gorilla's full handshake and one verification", row: "reconnect", ours: cpu("sallyport", "X25519, resumed"),
			theirs: []figure{cpu("gorilla", "X25519")}, limit: 0.75},
		target{text: "revocation among 10,000, p99: OnMessage", row: "revocation", ours: figure{"sallyport", "10,000 open", "p99"}, unit: "ms", limit: 100},
		target{text: "revocation among 10,000, p99: Handler", row: "revocation", ours: figure{"sallyport-handler", "10,000 open", "p99"}, unit: "ms", limit: 100},
		target{text: "100 busy connections beside 7,900 idle, of alone", row: "flat", ours: figure{"sallyport", "change", "ratio"}, limit: 1.1},
	)
}

// verdicts is the table of what was promised, and how far it is kept.
func verdicts(rows map[string]*result.Row) string {
	var b strings.Builder
	b.WriteString("| what | at most | measured | verdict |\n| --- | --- | --- | --- |\n")
	for _, t := range targets {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", t.text, t.bound(), t.verdict(rows[t.row]))
	}
	return b.String()
}

func (t target) bound() string {
	if t.unit != "" {
		return number(t.limit) + " " + t.unit
	}
	return ratio(t.limit)
}

// ratio has enough digits for a tenth and for a sixth.
func ratio(x float64) string {
	if x < 0.2 {
		return fmt.Sprintf("%.3f×", x)
	}
	return fmt.Sprintf("%.2f×", x)
}

// verdict compares medians; the range is that of the rounds, each by itself.
func (t target) verdict(r *result.Row) string {
	if r == nil {
		return "– | not measured"
	}
	get := func(f figure) result.Values { return r.Get(f.server, f.of, f.what) }
	value, rounds := get(t.ours).Median(), get(t.ours)
	show := ratio
	if t.unit != "" {
		show = func(x float64) string { return number(x) + " " + t.unit }
	}
	if t.scale != 0 {
		value *= t.scale
		rounds = rounds.Scaled(t.scale)
	}
	if len(t.theirs) > 0 {
		least := result.Values(nil)
		for _, f := range t.theirs {
			v := get(f)
			if t.plus.server != "" {
				v = v.Plus(get(t.plus))
			}
			if len(v) > 0 && (least == nil || v.Median() < least.Median()) {
				least = v
			}
		}
		if least == nil {
			return "– | not measured"
		}
		value, rounds = value/least.Median(), rounds.Over(least)
	}
	if len(rounds) == 0 {
		return "– | not measured"
	}
	verdict := "**not reached**"
	if value <= t.limit {
		verdict = "reached"
	}
	low, high := rounds.Range()
	return fmt.Sprintf("%s (%s–%s) | %s", show(value), strings.TrimSuffix(show(low), " "+t.unit), strings.TrimSuffix(show(high), " "+t.unit), verdict)
}
