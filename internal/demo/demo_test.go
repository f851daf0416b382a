package demo

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/sallyport/sallyport/deny"
)

// running is a demo that runs until the test ends.
type running struct {
	t            *testing.T
	origin, evil string
	out          string
	roots        *x509.CertPool
	stop         func() error // once
}

// run starts Run and reads, as a person would, what it says to open.
func run(t *testing.T, o Options) *running {
	t.Helper()
	if o.State == "" {
		home := t.TempDir()
		t.Setenv("XDG_CONFIG_HOME", home)
		t.Setenv("HOME", home)
		t.Setenv("AppData", home)
	}
	if o.Port == 0 {
		o.Port = freePort(t)
	}
	reader, writer := io.Pipe()
	o.Out = writer
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		err := Run(ctx, o)
		writer.Close()
		ended <- err
	}()
	d := &running{t: t, roots: x509.NewCertPool()}
	lines := bufio.NewScanner(reader)
	for lines.Scan() && !strings.Contains(lines.Text(), "Ctrl-C") {
		d.out += lines.Text() + "\n"
	}
	go io.Copy(io.Discard, reader) // until Run has ended
	stopped := false
	d.stop = func() error {
		if stopped {
			return nil
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			return err
		case <-time.After(10 * time.Second):
			return errors.New("Run did not end")
		}
	}
	t.Cleanup(func() {
		if err := d.stop(); err != nil {
			t.Error(err)
		}
	})
	d.origin = d.find(`https://localhost:\d+`)
	d.evil = d.find(`http://127\.0\.0\.1:\d+`)
	pem, err := os.ReadFile(d.find(`\S+dev-ca\.pem`))
	if err != nil || !d.roots.AppendCertsFromPEM(pem) {
		t.Fatalf("development authority: %v", err)
	}
	return d
}

func (d *running) find(pattern string) string {
	d.t.Helper()
	found := regexp.MustCompile(pattern).FindString(d.out)
	if found == "" {
		d.t.Fatalf("the console names no %s:\n%s", pattern, d.out)
	}
	return found
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// browser is one person's: it keeps cookies, trusts the development authority
// and says where its requests come from.
type browser struct {
	*running
	page   string // origin of the page that it shows
	client *http.Client
}

func (d *running) browser() *browser {
	jar, _ := cookiejar.New(nil) // never fails
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: d.roots}}
	d.t.Cleanup(transport.CloseIdleConnections)
	return &browser{running: d, page: d.origin, client: &http.Client{Transport: transport, Jar: jar, Timeout: 10 * time.Second}}
}

// do makes the request that a page's fetch would.
func (b *browser) do(method, path string, body any, header http.Header) (status int, answer map[string]any) {
	b.t.Helper()
	var content io.Reader
	if body != nil {
		data, _ := json.Marshal(body)
		content = bytes.NewReader(data)
	}
	r, err := http.NewRequest(method, b.origin+path, content)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if b.page != b.origin {
		r.Header.Set("Sec-Fetch-Site", "cross-site")
	}
	if method != http.MethodGet || b.page != b.origin {
		r.Header.Set("Origin", b.page)
	}
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for name, values := range header {
		r.Header[name] = values
	}
	response, err := b.client.Do(r)
	if err != nil {
		b.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	json.Unmarshal(data, &answer) // what is no JSON is judged by its status
	return response.StatusCode, answer
}

func (b *browser) want(status int, method, path string, body any, header http.Header) map[string]any {
	b.t.Helper()
	got, answer := b.do(method, path, body, header)
	if got != status {
		b.t.Fatalf("%s %s: got %d %v, want %d", method, path, got, answer, status)
	}
	return answer
}

func (b *browser) login(who string) {
	b.t.Helper()
	b.want(200, "POST", loginPath, map[string]string{"who": who}, nil)
}

func (b *browser) token() string {
	b.t.Helper()
	return b.want(200, "GET", "/api/getToken?gate=/chat", nil, nil)["token"].(string)
}

// trade is the door's answer to a token that asks for a ticket.
func (b *browser) trade(token string) (status int, answer map[string]any) {
	b.t.Helper()
	return b.do("POST", "/api/ticket", map[string]string{"gate": chatGate}, http.Header{"Authorization": {"Bearer " + token}})
}

// dial opens a socket as a page does.
func (b *browser) dial(protocols ...string) *websocket.Conn {
	b.t.Helper()
	c, _, err := websocket.Dial(b.t.Context(), "wss"+strings.TrimPrefix(b.origin, "https")+chatGate, &websocket.DialOptions{
		HTTPClient: b.client, HTTPHeader: http.Header{"Origin": {b.page}}, Subprotocols: protocols,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.CloseNow() })
	return c
}

// connect goes the page's whole way.
func (b *browser) connect() *websocket.Conn {
	b.t.Helper()
	status, ticket := b.trade(b.token())
	if status != 200 {
		b.t.Fatalf("ticket: got %d %v", status, ticket)
	}
	return b.dial(ticket["ticket"].(string), ticket["protocol"].(string))
}

func say(t *testing.T, c *websocket.Conn, text string) {
	t.Helper()
	data, _ := json.Marshal(map[string]string{"text": text})
	if err := c.Write(t.Context(), websocket.MessageText, data); err != nil {
		t.Fatal(err)
	}
}

func wantLine(t *testing.T, c *websocket.Conn, from, text string) {
	t.Helper()
	_, data, err := c.Read(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got line
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if got.From != from || got.Text != text || time.Since(got.At) > time.Minute {
		t.Errorf("got %+v, want %q from %s", got, text, from)
	}
}

// wantEnd reads until the connection ends and returns when that was.
func wantEnd(t *testing.T, c *websocket.Conn, reason deny.Reason) time.Time {
	t.Helper()
	for {
		_, _, err := c.Read(t.Context())
		if err == nil {
			continue
		}
		closed, ok := errors.AsType[websocket.CloseError](err)
		if !ok || uint16(closed.Code) != reason.Close() || closed.Reason != reason.CloseReason() {
			t.Fatalf("got %v, want %d %s", err, reason.Close(), reason.CloseReason())
		}
		return time.Now()
	}
}

func TestTwoPersonsTalkAndTheirNamesAreTheDoors(t *testing.T) {
	d := run(t, Options{})
	ada, bob := d.browser(), d.browser()
	ada.login("ada")
	bob.login("bob")
	a, b := ada.connect(), bob.connect()
	say(t, a, "is this the door? <b>knock</b>")
	wantLine(t, a, "ada", "is this the door? <b>knock</b>")
	wantLine(t, b, "ada", "is this the door? <b>knock</b>")
	if err := b.Write(t.Context(), websocket.MessageText, []byte(`{"from": "ada", "text": "a name of my own"}`)); err != nil {
		t.Fatal(err)
	}
	wantLine(t, a, "bob", "a name of my own")
	if got := ada.want(200, "GET", "/api/session", nil, nil)["subject"]; got != "ada" {
		t.Errorf("session: got %v, want ada", got)
	}
}

func TestLogoutEndsTheOtherTabWithinASecond(t *testing.T) {
	d := run(t, Options{})
	ada, bob := d.browser(), d.browser()
	ada.login("ada")
	bob.login("bob")
	one, two, other := ada.connect(), ada.connect(), bob.connect()
	began := time.Now()
	ada.want(200, "POST", "/api/logout", map[string]any{}, nil)
	for _, tab := range []*websocket.Conn{one, two} {
		if took := wantEnd(t, tab, deny.AuthSignedOut).Sub(began); took > time.Second {
			t.Errorf("ended after %s, want within a second", took)
		}
	}
	say(t, other, "still here")
	wantLine(t, other, "bob", "still here")
}

func TestAnotherLoginEndsTheConnectionsOfTheOldSession(t *testing.T) {
	d := run(t, Options{})
	ada := d.browser()
	ada.login("ada")
	c := ada.connect()
	ada.login("bob")
	wantEnd(t, c, deny.AuthSignedOut)
	if got := ada.want(200, "GET", "/api/session", nil, nil)["subject"]; got != "bob" {
		t.Errorf("session: got %v, want bob", got)
	}
}

func TestWhatThePageTriesIsRefused(t *testing.T) {
	d := run(t, Options{})
	ada := d.browser()
	if status, answer := ada.do("GET", "/api/getToken?gate=/chat", nil, nil); status != 401 || answer["error"] != "auth.missing" {
		t.Errorf("a token while signed out: got %d %v", status, answer)
	}
	wantEnd(t, ada.dial("sallyport"), deny.AuthMissing)
	ada.login("ada")

	parts := strings.Split(ada.token(), ".")
	claims, _ := base64.RawURLEncoding.DecodeString(parts[1])
	parts[1] = base64.RawURLEncoding.EncodeToString(bytes.Replace(claims, []byte(`"ada"`), []byte(`"root"`), 1))
	if status, answer := ada.trade(strings.Join(parts, ".")); status != 401 || answer["error"] != "auth.invalid" {
		t.Errorf("an altered token: got %d %v, want 401 auth.invalid", status, answer)
	}
	old := ada.want(200, "POST", expiredPath, map[string]any{}, nil)["token"].(string)
	if status, answer := ada.trade(old); status != 401 || answer["error"] != "auth.expired" {
		t.Errorf("an expired token: got %d %v, want 401 auth.expired", status, answer)
	}
	_, ticket := ada.trade(ada.token())
	first := ada.dial(ticket["ticket"].(string), "sallyport")
	say(t, first, "once")
	wantLine(t, first, "ada", "once")
	wantEnd(t, ada.dial(ticket["ticket"].(string), "sallyport"), deny.AuthTicketUsed)
}

func TestTheEvilPageGetsNowhere(t *testing.T) {
	d := run(t, Options{})
	victim := d.browser()
	victim.login("ada")
	c := victim.connect()
	victim.page = d.evil // the same browser, cookies and all, on another page
	wantEnd(t, victim.dial(), deny.OriginUntrusted)
	wantEnd(t, victim.dial("sallyport"), deny.OriginUntrusted)
	for _, try := range []struct{ method, path string }{
		{"POST", "/api/ticket"}, {"GET", "/api/getToken?gate=/chat"}, {"POST", "/api/logout"}, {"POST", loginPath}, {"POST", expiredPath},
	} {
		var body any
		if try.method == "POST" {
			body = map[string]string{"gate": chatGate}
		}
		if try.path == "/api/logout" {
			body = map[string]string{} // any name in it is refused before the page is
		}
		if status, answer := victim.do(try.method, try.path, body, nil); status != 403 || answer["error"] != "http.cross-site" {
			t.Errorf("%s %s: got %d %v, want 403 http.cross-site", try.method, try.path, status, answer)
		}
	}
	say(t, c, "untouched")
	wantLine(t, c, "ada", "untouched")

	response, err := http.Get(d.evil + "/")
	if err != nil {
		t.Fatal(err)
	}
	page, _ := io.ReadAll(response.Body)
	response.Body.Close()
	if !bytes.Contains(page, []byte(d.origin)) {
		t.Error("the evil page does not know the door")
	}
}

func TestTheViewShowsWhyAndNoSecret(t *testing.T) {
	d := run(t, Options{})
	ada := d.browser()
	ada.login("ada")
	token := ada.token()
	_, ticket := ada.trade(token)
	c := ada.dial(ticket["ticket"].(string), "sallyport")
	say(t, c, "a payload")
	wantLine(t, c, "ada", "a payload")
	evil := d.browser()
	evil.page = d.evil
	wantEnd(t, evil.dial(), deny.OriginUntrusted)
	ada.want(200, "POST", "/api/logout", map[string]any{}, nil)

	watcher, _, err := websocket.Dial(t.Context(), "wss"+strings.TrimPrefix(d.origin, "https")+eventsGate, &websocket.DialOptions{
		HTTPClient: ada.client, HTTPHeader: http.Header{"Origin": {d.origin}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer watcher.CloseNow()
	var all string
	want := []string{`"what":"issued"`, `"what":"admitted"`, `"reason":"origin.untrusted"`, `"reason":"auth.signed-out"`, `"who":"ada"`, d.evil}
	for !containsAll(all, want) {
		_, data, err := watcher.Read(t.Context())
		if err != nil {
			t.Fatalf("%v; seen: %s", err, all)
		}
		all += string(data)
	}
	for name, secret := range map[string]string{"token": token, "ticket": ticket["ticket"].(string), "payload": "a payload"} {
		if strings.Contains(all, secret) {
			t.Errorf("the view shows a %s", name)
		}
	}
}

func containsAll(s string, all []string) bool {
	for _, want := range all {
		if !strings.Contains(s, want) {
			return false
		}
	}
	return true
}

func TestStoppingTellsEverybodyAndReturnsNil(t *testing.T) {
	d := run(t, Options{})
	ada := d.browser()
	ada.login("ada")
	c := ada.connect()
	done := make(chan error, 1)
	go func() { done <- d.stop() }()
	wantEnd(t, c, deny.Drain)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestTheNextFreePortIsTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	busy := l.Addr().(*net.TCPAddr).Port
	if busy > 65000 {
		t.Skip("no room above the port")
	}
	d := run(t, Options{Port: busy})
	if strings.HasSuffix(d.origin, l.Addr().String()[len("127.0.0.1"):]) || !strings.Contains(d.out, "is taken") {
		t.Errorf("got %s and %q, want another port, and to be told", d.origin, d.out)
	}
	if !strings.Contains(d.out, " sallyport dev-ca\n") || !strings.Contains(d.out, "localhost, *.localhost, *.test and loopback addresses") {
		t.Errorf("the console does not say how to trust the authority, or with what:\n%s", d.out)
	}
	d.browser().want(200, "GET", "/api/session", nil, nil)
}

func TestAStateKeepsSessionsOverARestart(t *testing.T) {
	dir, port := filepath.Join(t.TempDir(), "state"), freePort(t)
	d := run(t, Options{State: dir, Port: port})
	if want := "sallyport dev-ca --state " + dir + "\n"; !strings.Contains(d.out, want) {
		t.Errorf("the console does not say %q:\n%s", want, d.out)
	}
	ada := d.browser()
	ada.login("ada")
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	ada.running = run(t, Options{State: dir, Port: port})
	if got := ada.want(200, "GET", "/api/session", nil, nil)["subject"]; got != "ada" {
		t.Errorf("session after a restart: got %v, want ada", got)
	}
}
