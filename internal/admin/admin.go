package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"iter"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/guard"
)

// Door is what the API administers: [*sallyport.Door].
type Door interface {
	Conns() iter.Seq[*sallyport.Conn]
	Revoke(ctx context.Context, m guard.Match) (int, error)
}

// Mint makes a ticket for an identity, to be redeemed at a gate from an origin.
// It returns what the client offers as a subprotocol.
type Mint func(ctx context.Context, gate, origin string, id auth.Identity) (ticket string, life time.Duration, err error)

// Config says what is administered and by whom. Door, Mint, Show and Reload
// must not be nil.
type Config struct {
	Door Door
	Mint Mint

	// Gate reports whether there is a gate of this path.
	Gate func(path string) bool

	// Issuer of identities for which POST /tickets names none.
	Issuer string

	// Show returns the effective configuration with secrets masked, and a
	// sentence for every setting that weakens the door.
	Show func() (yaml string, warnings []string, err error)

	// Reload reads the configuration again; an error means that nothing changed.
	Reload func(ctx context.Context) error

	// Token returns the bearer token that is demanded at this moment; while it
	// is empty, nobody is let in. nil: not asked, for unix sockets.
	Token func() string

	// Hosts are what Host may say, without port. nil: it is not judged, for unix
	// sockets, which no browser reaches.
	Hosts []string

	// Did is told of every request that changed something. The values in About
	// are as the request had them: whoever logs them escapes them. nil: nobody is.
	Did func(Done)
}

// Limits of the API.
const (
	maxBody      = 16 << 10
	defaultLimit = 1000
	maxLimit     = 10_000
	maxMinted    = 24 * time.Hour // longest life of a minted identity
)

type api struct {
	Config
	mux *http.ServeMux
}

// New returns the API as a handler.
func New(c Config) http.Handler {
	a := &api{Config: c, mux: http.NewServeMux()}
	handle := func(pattern string, f func(*http.Request) (any, error)) {
		a.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			v, err := f(r)
			if err != nil {
				refuse(w, err)
				return
			}
			answer(w, http.StatusOK, v)
		})
	}
	handle("GET /connections", a.list)
	handle("DELETE /connections", a.end)
	handle("POST /revocations", a.revoke)
	handle("POST /tickets", a.mint)
	handle("GET /config", a.config)
	handle("POST /reload", a.reload)
	a.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, problem(http.StatusNotFound, "not-found", "there is nothing at this path, or not with this method"))
	})
	return a
}

// ServeHTTP lets in whoever is no browser and knows the token.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if err := a.admit(r); err != nil {
		refuse(w, err)
		return
	}
	a.mux.ServeHTTP(w, r)
}

func (a *api) admit(r *http.Request) error {
	for _, name := range []string{"Origin", "Cookie", "Sec-Fetch-Site"} {
		if len(r.Header.Values(name)) > 0 {
			return problem(http.StatusForbidden, "browser", "requests of browsers are not answered here")
		}
	}
	if a.Hosts != nil && !a.serves(r.Host) {
		return problem(http.StatusMisdirectedRequest, "host", "this host name is not served here")
	}
	if a.Token == nil {
		return nil
	}
	token := a.Token()
	given, ok := auth.BearerFrom(r)
	want, got := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(given))
	if token == "" || subtle.ConstantTimeCompare(want[:], got[:]) != 1 || !ok || len(r.Header.Values("Authorization")) != 1 {
		return problem(http.StatusUnauthorized, "token", "the administrator's token is missing or wrong")
	}
	return nil
}

func (a *api) serves(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	for _, h := range a.Hosts {
		if strings.EqualFold(h, host) {
			return true
		}
	}
	return false
}

// Hosts are the names under which a TCP listener on address may be asked for:
// the address itself and, for loopback, its names.
func Hosts(address net.Addr) []string {
	ap, err := netip.ParseAddrPort(address.String())
	if err != nil {
		return []string{}
	}
	ip := ap.Addr().Unmap().WithZone("")
	hosts := []string{ip.String()}
	if ip.IsLoopback() || ip.IsUnspecified() {
		hosts = append(hosts, "localhost", "127.0.0.1", "::1")
	}
	return hosts
}

// A Problem is what the API answers instead of a result.
type Problem struct {
	Status  int    `json:"-"`
	Code    string `json:"error"`
	Message string `json:"message"`
}

func (p *Problem) Error() string { return p.Message }

func problem(status int, code, message string) error { return &Problem{status, code, message} }

func refuse(w http.ResponseWriter, err error) {
	p, ok := errors.AsType[*Problem](err)
	if !ok {
		p = &Problem{http.StatusInternalServerError, "internal", "something failed on this side; see the log"}
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	answer(w, p.Status, p)
}
