package app_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/internal/admin"
)

const adminToken = "4d0c7fbc0a0f4a9f8c9d0e1f2a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d"

// TestAdminSocket: nobody but the owner can reach it.
func TestAdminSocket_AT96(t *testing.T) {
	w := newWorld(t)
	w.gates(w.jwtGate("/chat", "")).start()
	info, err := os.Stat(filepath.Join(w.state(), "admin.sock"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket has mode %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(w.state()); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("its directory has mode %v, %v", info.Mode(), err)
	}
	_ = w.server.Stop()
	if _, err := os.Lstat(filepath.Join(w.state(), "admin.sock")); err == nil {
		t.Error("the socket outlives the server")
	}
	if _, err := w.admin.Connections(t.Context(), nil); !errors.Is(err, admin.ErrUnreachable) {
		t.Errorf("got %v", err)
	}
}

// TestAdminOverTCP tries what a page in a browser of the same machine could.
func TestAdminOverTCP_AT96(t *testing.T) {
	w := newWorld(t)
	write(t, filepath.Join(w.dir, "admin.token"), []byte(adminToken))
	w.configure(w.text(w.jwtGate("/chat", "")) + fmt.Sprintf("admin: {listen: \"127.0.0.1:0\", token: \"file:%s/admin.token\"}\n", w.dir)).start()
	conn := w.admit(client{bearer: w.idp.token(t, "alice", nil)})
	at := w.server.AdminAddr().String()
	_, port, _ := strings.Cut(at, ":")
	for _, row := range []struct {
		name   string
		change func(*http.Request)
		status int
	}{
		{"a program with the token", func(*http.Request) {}, 200},
		{"the same by name", func(r *http.Request) { r.Host = "localhost:" + port }, 200},
		{"no token", func(r *http.Request) { r.Header.Del("Authorization") }, 401},
		{"another token", func(r *http.Request) {
			r.Header.Set("Authorization", "Bearer "+strings.Replace(adminToken, "4", "5", 1))
		}, 401},
		{"a part of the token", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+adminToken[:63]) }, 401},
		{"the token as a password", func(r *http.Request) { r.SetBasicAuth("admin", adminToken) }, 401},
		{"two tokens", func(r *http.Request) { r.Header.Add("Authorization", "Bearer x") }, 401},
		{"a page that has the token", func(r *http.Request) { r.Header.Set("Origin", "http://localhost:"+port) }, 403},
		{"a page without an origin", func(r *http.Request) { r.Header.Set("Origin", "null") }, 403},
		{"a fetch of the same origin", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-origin") }, 403},
		{"a navigation", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "none") }, 403},
		{"a browser with cookies", func(r *http.Request) { r.Header.Set("Cookie", "a=b") }, 403},
		{"a name that was made to resolve here", func(r *http.Request) { r.Host = "rebind.evil.example:" + port }, 421},
		{"no name", func(r *http.Request) { r.Host = "" }, 200}, // the client then writes the address
	} {
		t.Run(row.name, func(t *testing.T) {
			for _, method := range []string{http.MethodGet, http.MethodDelete} {
				r, _ := http.NewRequest(method, "http://"+at+"/connections?subject=nobody", nil)
				r.Header.Set("Authorization", "Bearer "+adminToken)
				row.change(r)
				resp, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if resp.StatusCode != row.status {
					t.Errorf("%s: got %d %s, want %d", method, resp.StatusCode, body, row.status)
				}
				if resp.Header.Get("Access-Control-Allow-Origin") != "" || resp.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("headers %v", resp.Header)
				}
			}
		})
	}
	alive(t, conn)
	other := strings.Repeat("5d0c7fbc", 8)
	write(t, filepath.Join(w.dir, "admin.token"), []byte(other))
	if err := admin.NewClient(at, "", adminToken).Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.NewClient(at, "", adminToken).Connections(t.Context(), nil); status(err) != http.StatusUnauthorized {
		t.Errorf("the token was replaced: got %v", err)
	}
	if strings.Contains(w.log.String(), adminToken) {
		t.Error("the token is in the log")
	}
	n, err := admin.NewClient(at, "", other).End(t.Context(), url.Values{"all": {"true"}})
	if err != nil || n != 1 {
		t.Errorf("end: %d, %v", n, err)
	}
	if got := ending(t, conn); got != deny.AdminClosed {
		t.Errorf("got %v", got)
	}
}

// TestAdminConnections lists and ends by every filter.
func TestAdminConnections(t *testing.T) {
	w := newWorld(t)
	w.gates(w.jwtGate("/chat", "") + w.forwardGate("/ask")).start()
	alice := w.admit(client{bearer: w.idp.token(t, "alice", nil)})
	time.Sleep(2 * time.Millisecond) // the list is ordered by milliseconds
	w.admit(client{path: "/ask", cookie: "who=bob", address: "127.0.0.9"})
	for _, row := range []struct {
		query string
		want  string // subjects
	}{
		{"", "alice bob"}, {"gate=/chat", "alice"}, {"subject=bob", "bob"}, {"issuer=" + url.QueryEscape(issuer), "alice"}, {"session=s-bob", "bob"},
		{"credential=id-alice", "alice"}, {"address=127.0.0.9", "bob"}, {"address=127.0.0.0/8", "alice bob"}, {"address=10.0.0.0/8", ""},
		{"origin=" + url.QueryEscape(trusted), "alice bob"}, {"gate=/chat&subject=bob", ""}, {"limit=1", "alice"}, {"id=0", ""},
	} {
		t.Run("list "+row.query, func(t *testing.T) {
			q, _ := url.ParseQuery(row.query)
			list, err := w.admin.Connections(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, c := range list.Connections {
				got = append(got, c.Subject)
			}
			if strings.Join(got, " ") != row.want {
				t.Errorf("got %q, want %q", got, row.want)
			}
		})
	}
	for _, query := range []string{"subjet=alice", "subject=", "subject=a&subject=b", "address=x", "limit=0", "limit=10001", "all=true"} {
		t.Run("refused list "+query, func(t *testing.T) {
			q, _ := url.ParseQuery(query)
			if _, err := w.admin.Connections(t.Context(), q); status(err) != http.StatusBadRequest {
				t.Errorf("got %v", err)
			}
		})
	}
	for _, query := range []string{"", "all=false", "all=1", "all=true&subject=alice", "limit=1", "subjet=alice"} {
		t.Run("refused end "+query, func(t *testing.T) {
			q, _ := url.ParseQuery(query)
			if _, err := w.admin.End(t.Context(), q); status(err) != http.StatusBadRequest {
				t.Errorf("got %v", err)
			}
		})
	}
	alive(t, alice)
}

func status(err error) int {
	if p, ok := errors.AsType[*admin.Problem](err); ok {
		return p.Status
	}
	return 0
}

// TestAdminTickets mints for programs and pages; the identity can be revoked.
func TestAdminTickets(t *testing.T) {
	w := newWorld(t)
	w.gates(w.jwtGate("/chat", "")).start()
	mint := func(o admin.Order) admin.Minted {
		t.Helper()
		m, err := w.admin.Mint(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	program := mint(admin.Order{Gate: "/chat", Subject: "robot", Session: "job-7", Scopes: []string{"b", "a", "a"}})
	conn := w.admit(client{origin: "-", protocols: []string{program.Ticket, program.Protocol}})
	list, err := w.admin.Connections(t.Context(), nil)
	if err != nil || len(list.Connections) != 1 {
		t.Fatalf("got %+v, %v", list, err)
	}
	c := list.Connections[0]
	if c.Subject != "robot" || c.Method != admin.Method || c.Issuer != w.server.Name() || c.Credential != program.Credential || len(c.Scopes) != 2 {
		t.Errorf("got %+v", c)
	}
	if err := w.admin.Reload(t.Context()); err != nil { // it is judged again
		t.Fatal(err)
	}
	alive(t, conn)
	if n, err := w.admin.Revoke(t.Context(), guard.Match{Session: "job-7"}); err != nil || n != 1 {
		t.Errorf("revoke: %d, %v", n, err)
	}
	if got := ending(t, conn); got != deny.AuthRevoked {
		t.Errorf("got %v", got)
	}

	page := mint(admin.Order{Gate: "/chat", Subject: "alice", Origin: trusted})
	if got := w.refused(client{origin: "-", protocols: []string{page.Ticket, "sallyport"}, address: "127.0.0.2"}); got != deny.OriginUntrusted {
		t.Errorf("a page's ticket by a program: got %v", got)
	}
	page = mint(admin.Order{Gate: "/chat", Subject: "alice", Origin: trusted})
	w.admit(client{protocols: []string{page.Ticket, "sallyport"}})

	for name, o := range map[string]admin.Order{
		"no gate":          {Subject: "a"},
		"an unknown gate":  {Gate: "/nowhere", Subject: "a"},
		"nobody":           {Gate: "/chat"},
		"a long name":      {Gate: "/chat", Subject: strings.Repeat("a", 513)},
		"an origin of nil": {Gate: "/chat", Subject: "a", Origin: "null"},
		"a long life":      {Gate: "/chat", Subject: "a", ExpiresIn: 86401},
		"a negative life":  {Gate: "/chat", Subject: "a", ExpiresIn: -1},
		"an empty scope":   {Gate: "/chat", Subject: "a", Scopes: []string{""}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := w.admin.Mint(t.Context(), o); status(err) != http.StatusBadRequest {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestAdminRevocations refuses what would revoke too much.
func TestAdminRevocations(t *testing.T) {
	w := newWorld(t)
	w.gates(w.jwtGate("/chat", "")).start()
	for name, m := range map[string]guard.Match{
		"nobody":                      {},
		"a subject without an issuer": {Subject: "alice"},
		"a time that has not come":    {IssuedBefore: time.Now().Add(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := w.admin.Revoke(t.Context(), m); status(err) != http.StatusBadRequest {
				t.Errorf("got %v", err)
			}
		})
	}
	conn := w.admit(client{bearer: w.idp.token(t, "alice", nil)})
	if n, err := w.admin.Revoke(t.Context(), guard.Match{Issuer: issuer, IssuedBefore: time.Now()}); err != nil || n != 1 {
		t.Errorf("revoke: %d, %v", n, err)
	}
	if got := ending(t, conn); got != deny.AuthRevoked {
		t.Errorf("got %v", got)
	}
}
