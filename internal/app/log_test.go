package app_test

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/admin"
	"github.com/sallyport/sallyport/internal/app"
)

// TestSecrets carries a secret along every path and looks for it everywhere.
func TestSecrets_SR93_AT69(t *testing.T) {
	w := newWorld(t)
	const mark = "pLaNtEd"
	w.configure(strings.Replace(w.text(w.jwtGate("/chat", "")+w.forwardGate("/ask")), "state:", "log: {level: debug}\nstate:", 1)).start()
	planted := func(n int) string { return fmt.Sprintf("%s%032d", mark, n) }
	good := w.idp.token(t, "alice", func(c map[string]any) { c["note"] = planted(1) })
	minted, err := w.admin.Mint(t.Context(), admin.Order{Gate: "/chat", Subject: "robot"})
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{mark, good, good[strings.LastIndex(good, ".")+1:], minted.Ticket, strings.TrimPrefix(minted.Ticket, "sallyport.ticket.")}

	conn := w.admit(client{path: "/chat?room=" + planted(2), bearer: good, header: http.Header{"X-Custom": {planted(3)}}})
	if err := conn.WriteMessage(websocket.TextMessage, []byte(planted(4))); err != nil {
		t.Fatal(err)
	}
	asked := w.admit(client{path: "/ask", cookie: "who=bob; session=" + planted(5)})
	robot := w.admit(client{origin: "-", protocols: []string{minted.Ticket, "sallyport"}})
	for i, c := range []client{
		{path: "/chat?access_token=" + planted(6)},
		{path: "/chat?x=" + planted(7), bearer: good + planted(8)},
		{bearer: planted(9)},
		{header: http.Header{"Authorization": {"Basic " + planted(10)}}},
		{origin: "-", protocols: []string{minted.Ticket, "sallyport"}}, // used
		{origin: "-", protocols: []string{"sallyport.ticket." + planted(11), "sallyport"}},
		{path: "/ask", cookie: "who=stranger; other=" + planted(12)},
		{path: "/nowhere?q=" + planted(13), cookie: planted(14)},
		{protocols: []string{"sallyport.ticket." + planted(15)}},
	} {
		c.address = fmt.Sprintf("127.0.1.%d", i+1)
		w.refused(c)
	}
	raw(t, w.server.Addr(), "GET /?"+planted(16)+" HTTP/1.1\r\nCookie: "+planted(17)+"\r\n\r\n")
	api := func(path, body string, header ...string) {
		r, _ := http.NewRequest(http.MethodPost, "https://"+w.server.Addr().String()+"/sallyport/"+path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := w.https().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	api("ticket", `{"gate":"/chat"}`, "Authorization", "Bearer "+good)
	api("ticket", `{"gate":"`+planted(18)+`"}`, "Authorization", "Bearer "+planted(19))
	api("renew?"+planted(20), `{"gate":"/chat","connection":"`+planted(21)+`"}`, "Cookie", planted(22), "Origin", trusted)
	if _, err := w.admin.Revoke(t.Context(), guard.Match{Session: "a-name"}); err != nil {
		t.Fatal(err)
	}
	conn.WriteMessage(websocket.CloseMessage, websocket.FormatCloseMessage(4999, planted(24)))
	asked.WriteMessage(websocket.TextMessage, []byte("\xff"+planted(25))) // no UTF-8: ends with a cause
	robot.Close()
	eventually(t, "three have left", func() bool { return strings.Count(w.log.String(), `"msg":"ended"`) == 3 })

	_, scraped := w.get("/metrics")
	shown, err := w.admin.Config(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = w.server.Stop()
	for _, where := range []struct{ name, text string }{{"log", w.log.String()}, {"metrics", scraped}, {"shown configuration", shown.YAML}} {
		for _, s := range secrets {
			if i := strings.Index(where.text, s); i >= 0 {
				t.Errorf("the %s holds a secret: …%s…", where.name, where.text[max(0, i-120):min(len(where.text), i+80)])
			}
		}
	}
	if !strings.Contains(w.log.String(), `"action":"revocation","session":"a-name","ended":0`) {
		t.Error("whom a revocation names is not in the log")
	}
	if n := strings.Count(w.log.String(), `"msg":"refused"`); n < 10 {
		t.Errorf("only %d refusals in the log: the paths were not walked", n)
	}
}

// hostile is what a client may try to write into a log or onto a terminal.
var hostile = map[string]string{
	"a line of its own":         "x\r\n{\"level\":\"INFO\",\"msg\":\"admitted\",\"user\":\"root\"}",
	"an escape sequence":        "x\x1b[2J\x1b]0;owned\x07",
	"a C1 control":              "x\u009b31m",
	"a text that runs backward": "x\u202egnp.exe",
	"an isolate":                "x\u2066a\u2069",
	"a zero width":              "x\u200by\ufeff",
	"a line separator":          "x\u2028y\u2029z",
	"no UTF-8":                  "x\xff\xfe",
	"a formula":                 "=HYPERLINK(\"https://evil.example\")",
	"much of it":                strings.Repeat("A", 100_000),
	"a NUL":                     "x\x00y",
	"a tag character":           "x\U000e0041",
}

func TestEscape_SR94_AT95(t *testing.T) {
	for name, text := range hostile {
		t.Run(name, func(t *testing.T) {
			got := app.Escape(text)
			if len(got) > 4*512 {
				t.Errorf("%d bytes", len(got))
			}
			for _, r := range got {
				if r < ' ' || r >= 0x7f && r < 0xa0 || strings.ContainsRune("\u202e\u2066\u2069\u200b\ufeff\u2028\u2029\U000e0041\ufffd", r) {
					t.Errorf("%q holds %U", got, r)
				}
			}
		})
	}
	for _, harmless := range []string{"", "alice", "Ålice Бобова 李", "a b", `{"x":1}`} {
		if got := app.Escape(harmless); got != harmless {
			t.Errorf("got %q, want %q", got, harmless)
		}
	}
}

// TestLogInjection puts every hostile text into every field that a client, or
// what a client controls, can reach.
func TestLogInjection_SR94_AT95(t *testing.T) {
	for _, format := range []string{"json", "text"} {
		t.Run(format, func(t *testing.T) {
			w := newWorld(t)
			w.configure(strings.Replace(w.text(w.jwtGate("/chat", "")), "state:", "log: {format: "+format+"}\nstate:", 1)).start()
			for _, name := range slices.Sorted(maps.Keys(hostile)) {
				text := hostile[name]
				w.observe(sallyport.Event{
					Kind: sallyport.Refused, Reason: deny.OriginUntrusted, Origin: text, Path: text, Status: 101,
					Cause: fmt.Errorf("cause %s", text), Identity: identity(text),
				})
			}
			before := len(hostile)
			log := w.log.String()
			if n := strings.Count(log, "\n"); n > before+8 {
				t.Errorf("%d lines: something made lines of its own\n%s", n, log)
			}
			for line := range strings.SplitSeq(strings.TrimSpace(log), "\n") {
				if len(line) > 12_000 {
					t.Errorf("a line of %d bytes", len(line))
				}
				if format == "json" {
					var v map[string]any
					if err := json.Unmarshal([]byte(line), &v); err != nil {
						t.Errorf("%v: %s", err, line)
					}
					if v["user"] == "root" {
						t.Error("a forged line")
					}
				}
				for _, r := range line {
					if r < ' ' || r >= 0x7f && r < 0xa0 || strings.ContainsRune("\u202e\u2066\u200b\ufeff\u2028\U000e0041", r) {
						t.Errorf("%U in %s", r, line)
					}
				}
			}
		})
	}
}

// TestFlood sends refusals with ever new origins: the log and the metrics stay
// small, and what was left out is counted.
func TestFlood_AT55(t *testing.T) {
	const many = 100_000
	w := newWorld(t)
	w.gates(w.jwtGate("/chat", "")).start()
	for i := range many {
		w.observe(sallyport.Event{
			Kind: sallyport.Refused, Reason: deny.OriginUntrusted, Gate: "/chat", Status: 101,
			Origin: fmt.Sprintf("https://%d.evil.example", i), Path: fmt.Sprintf("/%d", i), Identity: identity(fmt.Sprint(i)),
		})
	}
	if n := strings.Count(w.log.String(), "evil.example"); n == 0 || n > 100 {
		t.Errorf("%d lines", n)
	}
	_, text := w.get("/metrics")
	if !strings.Contains(text, fmt.Sprintf(`sallyport_handshakes_total{reason="origin.untrusted",result="refused"} %d`, many)) {
		t.Error("the metric did not count all")
	}
	if strings.Contains(text, "evil.example") || strings.Count(text, "\n") > 1000 {
		t.Errorf("the metrics have %d lines", strings.Count(text, "\n"))
	}
	_ = w.server.Stop()
	if !strings.Contains(w.log.String(), `"msg":"refusals left out of the log","code":"origin.untrusted"`) {
		t.Errorf("nothing says that lines were left out:\n%s", w.log)
	}
}

// TestEvents is the golden list of what the log holds of the lives of connections.
func TestEvents_SR92(t *testing.T) {
	w := newWorld(t)
	w.gates(w.jwtGate("/chat", "    guard: {max_message: 1KiB}\n")).start()
	alice := w.admit(client{bearer: w.idp.token(t, "alice", nil)})
	w.refused(client{origin: "https://evil.example", address: "127.0.0.2"})
	w.refused(client{address: "127.0.0.2"})
	w.refused(client{bearer: w.idp.token(t, "eve", func(c map[string]any) { c["exp"] = time.Now().Add(-time.Minute).Unix() }), address: "127.0.0.2"})
	big := w.admit(client{bearer: w.idp.token(t, "bob", nil)})
	big.WriteMessage(websocket.BinaryMessage, make([]byte, 2<<10))
	ending(t, big)
	eventually(t, "the line of bob's end", func() bool { return strings.Contains(w.log.String(), "guard.too-big") })
	if _, err := w.admin.End(t.Context(), map[string][]string{"subject": {"alice"}}); err != nil {
		t.Fatal(err)
	}
	ending(t, alice)
	_ = w.server.Stop()

	type line map[string]any
	var got []string
	ids := map[string]string{}
	for text := range strings.SplitSeq(strings.TrimSpace(w.log.String()), "\n") {
		var l line
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			t.Fatal(err)
		}
		at, err := time.Parse(time.RFC3339Nano, l["time"].(string))
		if err != nil || time.Since(at) > time.Minute {
			t.Errorf("time %v", l["time"])
		}
		switch l["msg"] {
		case "admitted", "refused", "ended", "administrator":
		default:
			continue
		}
		if id, ok := l["conn"].(string); ok {
			user := l["user"].(string)
			if ids[user] == "" {
				ids[user] = id
			}
			if ids[user] != id || len(id) != 32 {
				t.Errorf("the connection of %s is %s and %s", user, ids[user], id)
			}
		}
		field := func(k string) string {
			if v, ok := l[k]; ok {
				return fmt.Sprint(v)
			}
			return "-"
		}
		got = append(got, strings.Join([]string{field("msg"), field("code"), field("user"), field("credential"), field("remote"), field("gate"), field("origin"), field("by"), field("messages"), field("action")}, " "))
	}
	want := []string{
		"admitted - alice id-alice 127.0.0.1 /chat https://app.example.com - - -",
		"refused origin.untrusted - - 127.0.0.2 /chat https://evil.example - - -",
		"refused auth.missing - - 127.0.0.2 /chat https://app.example.com - - -",
		"refused auth.expired - - 127.0.0.2 /chat https://app.example.com - - -",
		"admitted - bob id-bob 127.0.0.1 /chat https://app.example.com - - -",
		"ended guard.too-big bob id-bob 127.0.0.1 /chat https://app.example.com door 1 -",
		"ended admin.closed alice id-alice 127.0.0.1 /chat https://app.example.com door 1 -",
		"administrator - - - - - - - - connections.end",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestMetricNames holds the names that dashboards and alerts are made of.
func TestMetricNames(t *testing.T) {
	w := newWorld(t)
	w.gates(w.jwtGate("/chat", "")).start()
	w.admit(client{bearer: w.idp.token(t, "alice", nil)})
	w.refused(client{origin: "https://evil.example"})
	w.refused(client{bearer: "a.b.c"})
	minted, err := w.admin.Mint(t.Context(), admin.Order{Gate: "/chat", Subject: "robot"})
	if err != nil {
		t.Fatal(err)
	}
	w.admit(client{origin: "-", protocols: []string{minted.Ticket, "sallyport"}}).Close()
	w.refused(client{origin: "-", protocols: []string{minted.Ticket, "sallyport"}, address: "127.0.0.2"})
	var text string
	eventually(t, "the program has left and was counted", func() bool {
		_, text = w.get("/metrics")
		return strings.Contains(text, "sallyport_connection_duration_seconds_count 1")
	})
	for _, want := range []string{
		`sallyport_tickets_issued_total{result="ok"} 1`, `sallyport_tickets_redeemed_total{result="ok"} 1`, `sallyport_tickets_redeemed_total{result="refused"} 1`,
		`sallyport_auth_failures_total{method="none",reason="auth.invalid"} 1`, `sallyport_connections_closed_total{code="peer.lost",side="client"} 1`,
		"sallyport_connection_duration_seconds_count 1", "sallyport_config_warnings",
		"sallyport_build_info{", `sallyport_handshakes_total{reason="",result="admitted"} 2`, "sallyport_handshake_duration_seconds_bucket",
		`sallyport_connections{transport="websocket"} 1`, "sallyport_messages_received_total 2", "sallyport_messages_sent_total 2",
		"sallyport_message_received_bytes_total", "sallyport_message_sent_bytes_total", `sallyport_origin_rejections_total{reason="origin.untrusted"} 1`,
		"sallyport_config_last_reload_successful 1", "sallyport_config_last_reload_success_timestamp_seconds", "sallyport_draining 0",
		`sallyport_engine_info{engine="`, "sallyport_engine_lends ", "sallyport_engine_late_events_total 0",
		`sallyport_jwks_failures_total{gates="/chat"} 0`, `sallyport_jwt_verdicts_total{gates="/chat",memory="miss"} `, `sallyport_jwt_verdicts_total{gates="/chat",memory="hit"} `, "go_goroutines", "process_open_fds",
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("no %s", want)
		}
	}
}
