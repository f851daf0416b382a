package demo

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/auth/jwt"
	"github.com/sallyport/sallyport/route/proxy"
)

const testOrigin = "https://localhost:8443"

func newSigner(t *testing.T) *jwt.Signer {
	t.Helper()
	s, err := jwt.NewSigner()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sign(t *testing.T, s *jwt.Signer, typ string, claims map[string]any) string {
	t.Helper()
	token, err := s.Sign(typ, claims)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func TestTheChatBelievesTheDoorsSignatureOnly(t *testing.T) {
	signer := newSigner(t)
	v, err := newIdentities(signer.JWKS(), testOrigin, chatName)
	if err != nil {
		t.Fatal(err)
	}
	claims := func(change map[string]any) map[string]any {
		c := map[string]any{"iss": testOrigin, "aud": chatName, "sub": "ada", "exp": time.Now().Add(time.Minute).Unix()}
		for k, v := range change {
			c[k] = v
		}
		return c
	}
	identity, err := proxy.NewIdentity(signer, testOrigin, chatName)
	if err != nil {
		t.Fatal(err)
	}
	good, err := identity.Token(auth.Identity{Subject: "ada"}, "c1")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := v.subject(good); err != nil || got != "ada" {
		t.Fatalf("the door's own: got %q, %v", got, err)
	}
	parts := strings.Split(good, ".")
	for _, row := range []struct{ name, token string }{
		{"no header", ""},
		{"a token for users", sign(t, signer, jwt.TypeAccess, claims(nil))},
		{"another key", sign(t, newSigner(t), identityType, claims(nil))},
		{"another door", sign(t, signer, identityType, claims(map[string]any{"iss": "https://localhost:9"}))},
		{"another backend", sign(t, signer, identityType, claims(map[string]any{"aud": "shop"}))},
		{"an expired one", sign(t, signer, identityType, claims(map[string]any{"exp": time.Now().Unix()}))},
		{"nobody", sign(t, signer, identityType, claims(map[string]any{"sub": ""}))},
		{"no signature", parts[0] + "." + parts[1] + "."},
		{"another body", parts[0] + "." + strings.Split(sign(t, signer, identityType, claims(map[string]any{"sub": "root"})), ".")[1] + "." + parts[2]},
		{"two parts", parts[0] + "." + parts[1]},
		{"no JSON", "e30.e30." + parts[2]},
	} {
		if got, err := v.subject(row.token); err == nil {
			t.Errorf("%s: got %q, want an error", row.name, got)
		}
	}
}

func TestTheChatRefusesWhoComesPastTheDoor(t *testing.T) {
	v, err := newIdentities(newSigner(t).JWKS(), testOrigin, chatName)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	newChat(v).ServeHTTP(w, httptest.NewRequest("GET", "/chat", nil))
	if w.Code != http.StatusUnauthorized {
		t.Errorf("got %d, want 401", w.Code)
	}
}

func TestTheLoginWithoutPasswordIsForThisMachineOnly(t *testing.T) {
	for _, origin := range []string{"https://app.example.com", "http://localhost:8443", "https://localhost.example.com", "https://demo.localhost:8443"} {
		if _, err := newPeople(origin, nil, nil, nil); err == nil {
			t.Errorf("%s: got no error", origin)
		}
	}
	p, err := newPeople(testOrigin, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	request := func(change func(*http.Request)) *http.Request {
		r := httptest.NewRequest("POST", loginPath, strings.NewReader(`{"who": "ada"}`))
		r.RemoteAddr = "127.0.0.1:1"
		r.Header.Set("Origin", testOrigin)
		r.Header.Set("Content-Type", "application/json")
		change(r)
		return r
	}
	for _, row := range []struct {
		name   string
		change func(*http.Request)
		want   int
	}{
		{"another machine", func(r *http.Request) { r.RemoteAddr = "192.0.2.1:1" }, 404},
		{"no address", func(r *http.Request) { r.RemoteAddr = "@" }, 404},
		{"a GET", func(r *http.Request) { r.Method = "GET" }, 405},
		{"no origin", func(r *http.Request) { r.Header.Del("Origin") }, 403},
		{"another origin", func(r *http.Request) { r.Header.Set("Origin", "http://localhost:8443") }, 403},
		{"two origins", func(r *http.Request) { r.Header.Add("Origin", testOrigin) }, 403},
		{"a form", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, 415},
		{"a long body", func(r *http.Request) { r.Body = readCloser(strings.Repeat(" ", maxLogin+1)) }, 413},
		{"no JSON", func(r *http.Request) { r.Body = readCloser("who=ada") }, 400},
		{"somebody else", func(r *http.Request) { r.Body = readCloser(`{"who": "root"}`) }, 401},
	} {
		w := httptest.NewRecorder()
		p.login(w, request(row.change))
		if w.Code != row.want || w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%s: got %d %v, want %d", row.name, w.Code, w.Header(), row.want)
		}
	}
}

func readCloser(s string) *body { return &body{strings.NewReader(s)} }

type body struct{ *strings.Reader }

func (*body) Close() error { return nil }

func TestTheViewIsBounded(t *testing.T) {
	v := newView()
	for i := range 3 * viewSize {
		v.note(sallyport.Event{Kind: sallyport.Refused, Path: fmt.Sprintf("/%d", i), Origin: strings.Repeat("€", 1000)})
	}
	sights, _, _ := v.later(0, everybody)
	if len(sights) != viewSize || sights[0].Path != fmt.Sprintf("/%d", 2*viewSize) || sights[viewSize-1].N != 3*viewSize {
		t.Errorf("got %d from %q to %d, want the last %d", len(sights), sights[0].Path, sights[len(sights)-1].N, viewSize)
	}
	if got := sights[0].Origin; len(got) > viewText+len("…") || !strings.HasPrefix(got, "€") {
		t.Errorf("an origin of %d bytes: %q", len(got), got)
	}
	if sights, _, _ := v.later(3*viewSize-1, everybody); len(sights) != 1 {
		t.Errorf("after the last but one: got %d, want 1", len(sights))
	}
	_, _, changed := v.later(3*viewSize, everybody)
	v.note(sallyport.Event{Kind: sallyport.Admitted, Gate: eventsGate})
	select {
	case <-changed:
		t.Error("who views is shown")
	default:
	}
	v.note(sallyport.Event{Kind: sallyport.Admitted, Gate: chatGate})
	<-changed
}

// A page that says nothing inline can have a policy without 'unsafe-inline'.
func TestPagesAreStrictAndEveryPartIsThere_AT10(t *testing.T) {
	s, err := newSite(siteConfig{Origin: testOrigin, Evil: "http://127.0.0.1:1", Middle: "https://localhost:8444"})
	if err != nil {
		t.Fatal(err)
	}
	evil := newEvilPage(testOrigin).(*site)
	for name, page := range map[string][]byte{"index.html": s.files["/"], "evil.html": evil.files["/"]} {
		for _, bad := range []string{`<style`, ` style=`, `<script>`, `javascript:`, ` onclick=`, ` onload=`} {
			if strings.Contains(string(page), bad) {
				t.Errorf("%s has %q", name, bad)
			}
		}
	}
	for _, outside := range regexp.MustCompile(`(?:src|href)="([^"]*)"`).FindAllStringSubmatch(string(s.files["/"]), -1) {
		if _, ok := s.files[outside[1]]; !ok && !strings.HasPrefix(outside[1], "#") && outside[1] != "http://127.0.0.1:1/" && outside[1] != "https://localhost:8444/" {
			t.Errorf("index.html refers to %q, which is not served", outside[1])
		}
	}
	for _, script := range []string{"page/app.js", "page/middle.js", "page/network.js", "page/story.js", "page/evil.js"} {
		text, err := os.ReadFile(script)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("} {
			if strings.Contains(string(text), bad) {
				t.Errorf("%s uses %s", script, bad)
			}
		}
	}
	for _, id := range strings.Fields(`login-ada login-bob logout who session-left connect disconnect renew status message send log idle-left
		life-left close-code close-reason close-sentence altered-token expired-token replay-ticket evil-link door-events code
		through sealing path-of flip-way flip flip-result pin middle code-sealed code-bare`) {
		if strings.Count(string(s.files["/"]), `data-testid="`+id+`"`) != 1 {
			t.Errorf("index.html has not exactly one part %q", id)
		}
	}
}

func TestTheSiteSendsOtherNamesToItsOwn(t *testing.T) {
	s, err := newSite(siteConfig{Origin: testOrigin, Evil: "http://127.0.0.1:1", Middle: "https://localhost:8444"})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name, method, url string
		want              int
		header, value     string
	}{
		{"the page", "GET", testOrigin + "/", 200, "Content-Type", "text/html; charset=utf-8"},
		{"a script", "GET", testOrigin + "/app.js", 200, "Content-Type", "text/javascript; charset=utf-8"},
		{"the reasons", "GET", testOrigin + "/reasons.json", 200, "Content-Type", "application/json"},
		{"the page by its address", "GET", "https://127.0.0.1:8443/", 307, "Location", testOrigin + "/"},
		{"nothing", "GET", testOrigin + "/page/app.js", 404, "", ""},
		{"a POST", "POST", testOrigin + "/", 405, "Allow", "GET, HEAD"},
	} {
		w, r := httptest.NewRecorder(), httptest.NewRequest(row.method, row.url, nil)
		r.TLS = &tls.ConnectionState{}
		s.ServeHTTP(w, r)
		if w.Code != row.want || row.header != "" && w.Header().Get(row.header) != row.value {
			t.Errorf("%s: got %d %v, want %d %s", row.name, w.Code, w.Header(), row.want, row.value)
		}
	}
}

func TestAPortThatIsNoneIsAnError(t *testing.T) {
	for _, port := range []int{-1, 65536} {
		t.Setenv("XDG_CONFIG_HOME", t.TempDir())
		if err := Run(t.Context(), Options{Port: port}); err == nil || !strings.Contains(err.Error(), "1 to 65535") {
			t.Errorf("port %d: got %v", port, err)
		}
	}
}
