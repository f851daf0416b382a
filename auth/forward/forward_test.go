package forward

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
)

func TestAdmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, f := start(t)
		f.set(200, `{"sub":"alice","session":"s1","exp":946685800,"scopes":["write","read","read"],"name":"Alice","roles":{"a":[1]}}`)
		if a.Kind() != auth.Forward {
			t.Errorf("kind %v", a.Kind())
		}
		before := time.Now()
		id := mustAdmit(t, a, request("Cookie", "sid=1"))
		if id.Subject != "alice" || id.Session != "s1" || id.Method != "forward" || id.Issuer != "http://127.0.0.1:3000/me" ||
			!slices.Equal(id.Scopes, []string{"read", "write"}) || id.Expires.Unix() != 946685800 || len(id.Credential) != 64 {
			t.Errorf("got %+v", id)
		}
		if !id.IssuedAt.Equal(before) {
			t.Errorf("issued at %v, want the time of the question", id.IssuedAt)
		}
		if strings.Contains(fmt.Sprint(id.Credential), "sid") {
			t.Error("the credential's name contains the credential")
		}
	})
}

func TestTheAppIsNotAskedWithoutCredentials(t *testing.T) {
	a, f := start(t)
	for name, r := range map[string]*http.Request{
		"nothing":            request(),
		"empty headers":      request("Cookie", "", "Authorization", " "),
		"only our cookie":    request("Cookie", "__Host-sallyport=x"),
		"our cookie, twice":  request("Cookie", "__Host-sallyport=x; __Host-sallyport=y", "Cookie", "__Host-sallyport=z"),
		"only other headers": request("X-Forwarded-User", "admin", "Sallyport-Recheck", "1"),
	} {
		if _, err := admit(t, a, r); !errors.Is(err, auth.ErrNoCredentials) {
			t.Errorf("%s: got %v, want no credentials", name, err)
		}
	}
	if f.asked() != 0 {
		t.Errorf("the application was asked %d times", f.asked())
	}
}

func TestTheQuestion_SR85_AT82_AT83(t *testing.T) {
	a, f := start(t)
	r := request("Cookie", "sid=1; __Host-sallyport=secret", "Cookie", "theme=dark", "Authorization", "Basic YTpi")
	for _, name := range []string{
		"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Uri", "X-Forwarded-User", "X_Forwarded_For", "x-forwarded-for", "X-FORWARDED_HOST",
		"Forwarded", "X-Real-Ip", "X-Client-Ip", "Client_Ip", "X-User-Id", "Sallyport-Identity", "sallyport_identity", "Sallyport-Recheck", "Sallyport-Recheck-Handle",
		"Connection", "Upgrade", "Sec-Websocket-Protocol", "Sec-WebSocket-Key", "Origin", "Referer", "User-Agent", "Proxy-Authorization", "Transfer-Encoding", "Content-Length",
	} {
		r.Header[name] = []string{"spoofed", "X-User-Id, X-Forwarded-For"}
	}
	mustAdmit(t, a, r)
	got := f.last()
	sent := http.Header{
		"Cookie": {"sid=1; theme=dark"}, "Authorization": {"Basic YTpi"}, "Origin": {"https://app.example.com"},
		"X-Forwarded-For": {"192.0.2.7"}, "X-Forwarded-Proto": {"https"}, "X-Forwarded-Host": {"door.example.com"}, "X-Forwarded-Uri": {"/chat"},
		"Sallyport-Recheck": {"0"}, "Accept": {"application/json"}, "User-Agent": {"sallyport"},
	}
	if !maps.EqualFunc(got, sent, slices.Equal) {
		t.Errorf("SR-85 AT-82 AT-83 sent %v\nwant %v", got, sent)
	}
	id, err := a.Authenticate(auth.WithAttempt(background, auth.Attempt{Gate: "/chat", Origin: "none"}), request("Authorization", "Bearer x"))
	want(t, err, 0)
	if got := f.last(); got["Origin"] != nil || got["Cookie"] != nil || got["X-Forwarded-For"] != nil {
		t.Errorf("sent %v for a program, id %v", got, id.Subject)
	}
	nowhere := auth.Attempt{Gate: "/chat", Origin: "none", Address: netip.Addr{}.String()} // a peer on a unix socket
	_, err = a.Authenticate(auth.WithAttempt(background, nowhere), request("Authorization", "Bearer y"))
	want(t, err, 0)
	if got := f.last(); got["X-Forwarded-For"] != nil {
		t.Errorf("SR-86 sent %v", got)
	}
}

func TestUnusableCredentials(t *testing.T) {
	a, f := start(t)
	for name, r := range map[string]*http.Request{
		"two Authorizations":    request("Cookie", "a=b", "Authorization", "Basic x", "Authorization", "Basic y"),
		"a line break":          request("Cookie", "a=b\r\nX-User: root"),
		"a NUL":                 request("Authorization", "Basic \x00"),
		"more than 8 KiB":       request("Cookie", strings.Repeat("a", maxForwarded+1)),
		"more than 8 KiB in 2":  request("Cookie", strings.Repeat("a", maxForwarded), "Authorization", "x"),
		"many lines of cookies": request(slices.Repeat([]string{"Cookie", strings.Repeat("a", 500)}, 20)...),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := admit(t, a, r)
			want(t, err, deny.AuthInvalid)
		})
	}
	if f.asked() != 0 {
		t.Errorf("asked %d times", f.asked())
	}
}

func TestAnswers_SR91(t *testing.T) {
	for _, tt := range []struct {
		name   string
		status int
		body   string
		want   deny.Reason
	}{
		{"sub alone", 200, `{"sub":"a"}`, 0},
		{"other names", 200, `{"sub":"a","Sub":"b","email":"x","x":{"y":[1,2]}}`, 0},
		{"401", 401, ``, deny.AuthInvalid},
		{"403 with a body", 403, `{"sub":"a"}`, deny.AuthInvalid},
		{"a redirect to the login", 302, ``, deny.AuthUnavailable},
		{"a permanent redirect", 308, `{"sub":"a"}`, deny.AuthUnavailable},
		{"201", 201, `{"sub":"a"}`, deny.AuthUnavailable},
		{"204", 204, ``, deny.AuthUnavailable},
		{"206", 206, `{"sub":"a"}`, deny.AuthUnavailable},
		{"404", 404, `{"sub":"a"}`, deny.AuthUnavailable},
		{"429", 429, `{"sub":"a"}`, deny.AuthUnavailable},
		{"500", 500, `{"sub":"a"}`, deny.AuthUnavailable},
		{"nothing", 200, ``, deny.AuthUnavailable},
		{"a page", 200, `<html>welcome</html>`, deny.AuthUnavailable},
		{"null", 200, `null`, deny.AuthUnavailable},
		{"a list", 200, `[{"sub":"a"}]`, deny.AuthUnavailable},
		{"no sub", 200, `{}`, deny.AuthUnavailable},
		{"sub empty", 200, `{"sub":""}`, deny.AuthUnavailable},
		{"sub null", 200, `{"sub":null}`, deny.AuthUnavailable},
		{"sub a number", 200, `{"sub":7}`, deny.AuthUnavailable},
		{"sub false, as of a guest", 200, `{"sub":false}`, deny.AuthUnavailable},
		{"sub in another case", 200, `{"SUB":"a"}`, deny.AuthUnavailable},
		{"sub with a line break", 200, `{"sub":"a\nb"}`, deny.AuthUnavailable},
		{"sub too long", 200, `{"sub":"` + strings.Repeat("a", 513) + `"}`, deny.AuthUnavailable},
		{"sub with half a surrogate", 200, `{"sub":"\ud800"}`, deny.AuthUnavailable},
		{"two subs", 200, `{"sub":"a","sub":"root"}`, deny.AuthUnavailable},
		{"two subs, one escaped", 200, `{"sub":"a","\u0073ub":"root"}`, deny.AuthUnavailable},
		{"a name twice inside", 200, `{"sub":"a","x":{"y":1,"y":2}}`, deny.AuthUnavailable},
		{"something behind it", 200, `{"sub":"a"}{}`, deny.AuthUnavailable},
		{"cut short", 200, `{"sub":"a"`, deny.AuthUnavailable},
		{"not UTF-8", 200, "{\"sub\":\"\xff\"}", deny.AuthUnavailable},
		{"nested deeply", 200, `{"sub":"a","x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, deny.AuthUnavailable},
		{"session a number", 200, `{"sub":"a","session":1}`, deny.AuthUnavailable},
		{"session null", 200, `{"sub":"a","session":null}`, deny.AuthUnavailable},
		{"exp in the past", 200, `{"sub":"a","exp":1}`, deny.AuthExpired},
		{"exp a string", 200, `{"sub":"a","exp":"4102444800"}`, deny.AuthUnavailable},
		{"exp negative", 200, `{"sub":"a","exp":-1}`, deny.AuthUnavailable},
		{"exp beyond 9999", 200, `{"sub":"a","exp":253402300800}`, deny.AuthUnavailable},
		{"exp null", 200, `{"sub":"a","exp":null}`, deny.AuthUnavailable},
		{"scopes a string", 200, `{"sub":"a","scopes":"read"}`, deny.AuthUnavailable},
		{"scopes with a null", 200, `{"sub":"a","scopes":[null]}`, deny.AuthUnavailable},
		{"scopes with a space", 200, `{"sub":"a","scopes":["a b"]}`, deny.AuthUnavailable},
		{"65 scopes", 200, `{"sub":"a","scopes":["x"` + strings.Repeat(`,"x"`, 64) + `]}`, deny.AuthUnavailable},
		{"recheck of 1 KiB", 200, `{"sub":"a","recheck":"` + strings.Repeat("r", 1024) + `"}`, 0},
		{"recheck longer than 1 KiB", 200, `{"sub":"a","recheck":"` + strings.Repeat("r", 1025) + `"}`, deny.AuthUnavailable},
		{"recheck with a line break", 200, `{"sub":"a","recheck":"a\r\nX: y"}`, deny.AuthUnavailable},
		{"an answer of 16 KiB", 200, `{"sub":"a"}` + strings.Repeat(" ", maxAnswer-11), 0},
		{"an answer longer than 16 KiB", 200, `{"sub":"a"}` + strings.Repeat(" ", maxAnswer-10), deny.AuthUnavailable},
	} {
		t.Run("SR-91 "+tt.name, func(t *testing.T) {
			a, f := start(t)
			f.set(tt.status, tt.body)
			f.header = http.Header{"Location": {"https://evil.example/"}}
			_, err := admit(t, a, request("Cookie", "sid=1"))
			want(t, err, tt.want)
			if f.asked() != 1 {
				t.Errorf("asked %d times, want once: no redirect is followed, no refusal kept", f.asked())
			}
		})
	}
}

func TestSlowAndDeadApp_SR91(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, f := start(t)
		f.delay = time.Hour
		begin := time.Now()
		_, err := admit(t, a, request("Cookie", "sid=1"))
		want(t, err, deny.AuthUnavailable)
		if took := time.Since(begin); took != 2*time.Second {
			t.Errorf("SR-91 a slow application held the handshake for %v, want 2s", took)
		}
		f.delay, f.down = 0, true
		_, err = admit(t, a, request("Cookie", "sid=1"))
		want(t, err, deny.AuthUnavailable)
		f.down = false
		mustAdmit(t, a, request("Cookie", "sid=1"))
		a.Close()
		_, err = admit(t, a, request("Cookie", "sid=2"))
		want(t, err, deny.AuthUnavailable)
	})
}

func TestTooBigToCheckAgain(t *testing.T) {
	a, f := start(t)
	big := request("Cookie", strings.Repeat("a", 5000))
	f.set(200, `{"sub":"a"}`)
	_, err := admit(t, a, big)
	want(t, err, deny.AuthInvalid)
	f.set(200, `{"sub":"a","recheck":"h"}`)
	id := mustAdmit(t, a, big)
	if len(id.Handle) > 200 {
		t.Errorf("the handle has %d bytes: the cookies were kept beside it", len(id.Handle))
	}
}

func TestConfigMistakes(t *testing.T) {
	for name, tt := range map[string]struct {
		c    Config
		want string
	}{
		"no URL":               {Config{}, "url must be set"},
		"http beyond here":     {Config{URL: "http://app.example.com/me"}, "not loopback"},
		"http to a look-alike": {Config{URL: "http://localhost.evil.example/me"}, "not loopback"},
		"a password":           {Config{URL: "https://u:p@app.example.com/me"}, "user or password"},
		"a fragment":           {Config{URL: "https://app.example.com/me#x"}, "fragment"},
		"another scheme":       {Config{URL: "ws://127.0.0.1/me"}, "must be https"},
		"a bare path":          {Config{URL: "/me"}, "must be https"},
		"checks too often":     {Config{URL: "https://a.example/me", Recheck: time.Millisecond}, "shorter than 1s"},
		"a long timeout":       {Config{URL: "https://a.example/me", Timeout: 3 * time.Second}, "not within 2s"},
		"a negative grace":     {Config{URL: "https://a.example/me", Grace: -1}, "negative"},
		"a cookie's bad name":  {Config{URL: "https://a.example/me", StripCookies: []string{"a b"}}, "strip cookie"},
	} {
		if _, err := New(tt.c); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
	a, err := New(Config{URL: "HTTPS://App.Example.com/me?x=1"})
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if again, grace := a.Every(); again != 30*time.Second || grace != time.Minute || a.Issuer() != "https://app.example.com/me" {
		t.Errorf("got %v %v %s", again, grace, a.Issuer())
	}
}

func TestOverTheNetwork(t *testing.T) {
	var followed atomic.Int32
	mux := http.NewServeMux()
	mux.HandleFunc("/me", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") != "sid=1" || r.Header.Get("Accept-Encoding") != "" {
			t.Errorf("got %v", r.Header)
		}
		fmt.Fprint(w, `{"sub":"alice"}`)
	})
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/target", http.StatusFound) })
	mux.HandleFunc("/target", func(http.ResponseWriter, *http.Request) { followed.Add(1) })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	for path, reason := range map[string]deny.Reason{"/me": 0, "/moved": deny.AuthUnavailable} {
		a, err := New(Config{URL: srv.URL + path})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		_, err = admit(t, a, request("Cookie", "sid=1"))
		want(t, err, reason)
	}
	if followed.Load() != 0 {
		t.Error("a redirect was followed")
	}
	for address, plain := range map[string]bool{"192.0.2.1:80": true, "169.254.169.254:80": false, "[fe80::1]:80": false, "0.0.0.0:80": false, "x": false} {
		if allowed(address, plain) == nil {
			t.Errorf("%s may be dialled", address)
		}
	}
	if err := allowed("10.0.0.1:443", false); err != nil {
		t.Error(err)
	}
}
