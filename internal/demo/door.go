package demo

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/auth/jwt"
	"github.com/sallyport/sallyport/auth/session"
	"github.com/sallyport/sallyport/auth/ticket"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/headers"
	"github.com/sallyport/sallyport/internal/state"
	"github.com/sallyport/sallyport/origin"
	"github.com/sallyport/sallyport/route/proxy"
)

// Paths of the door.
const (
	chatGate   = "/chat"
	eventsGate = "/events"
	middleGate = "/middle"
	prefix     = "/api"

	loginPath   = prefix + "/login"
	expiredPath = prefix + "/expired-token"
	troublePath = prefix + "/trouble"
	logoutPath  = prefix + "/logout" // the door's
)

const (
	chatIdle    = 60 * time.Second
	chatBeat    = 5 * time.Second // more often than usual, to show what it is for
	tokenLife   = 5 * time.Minute
	sessionLife = 2 * time.Hour
	chatName    = "demo-chat" // the backend, in the identities it is sent

	// cookieName is the demo's own: ports of localhost share their cookies.
	cookieName = "__Host-sallyport-demo"
)

// signers are the keys of two kinds of token, which never share one.
type signers struct{ access, identity *jwt.Signer }

// openSigners reads the keys from the state, or makes them the first time.
func openSigners(s *state.DB) (signers, error) {
	access, err := openSigner(s, "demo-access-key")
	if err != nil {
		return signers{}, err
	}
	identity, err := openSigner(s, "demo-identity-key")
	return signers{access, identity}, err
}

func openSigner(s *state.DB, name string) (*jwt.Signer, error) {
	pem, err := s.Secret(name, func() ([]byte, error) {
		fresh, err := jwt.NewSigner()
		if err != nil {
			return nil, err
		}
		return fresh.MarshalPEM()
	})
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	return jwt.ParseSigner(pem)
}

type doorConfig struct {
	Origin  string // of the page
	Evil    string // of the other page, for the link to it
	Middle  string // of the relay
	Backend string // ws://…
	State   *state.DB
	Signers signers
	Cable   *cable
	Relay   *relay
	Seals   *seals
}

// guardedDoor is the door with the demo's own endpoints before it: the door owns
// every path under its prefix.
type guardedDoor struct {
	doors    *doors
	cable    *cable
	relay    *relay
	sessions *session.Sessions
	own      map[string]http.Handler // by path
}

func (g *guardedDoor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := g.own[r.RequestURI]; h != nil {
		h.ServeHTTP(w, r)
		return
	}
	session := ""
	if r.RequestURI == chatGate || r.RequestURI == logoutPath {
		if id, err := g.sessions.Authenticate(r.Context(), r); err == nil {
			session = id.Session
		}
	}
	if session != "" && r.RequestURI == chatGate {
		g.relay.belongs(r.RemoteAddr, session)
		if !g.cable.pass(r, session) {
			panic(http.ErrAbortHandler) // nobody waits for an answer
		}
	}
	g.doors.now().ServeHTTP(w, r)
	if session != "" && r.RequestURI == logoutPath {
		if _, err := g.sessions.Authenticate(r.Context(), r); err != nil { // it has ended, also at a door that drains
			g.doors.signOut(r.Context(), session)
		}
	}
}

// hostOf is the host and port of an origin.
func hostOf(origin string) string { return strings.TrimPrefix(origin, "https://") }

// newDoor is what a program that uses the library looks like.
func newDoor(c doorConfig) (*guardedDoor, error) {
	host, middle := hostOf(c.Origin), hostOf(c.Middle)
	sessions, err := session.New(session.Config{Store: c.State.Sessions(), Issuer: c.Origin, Cookie: cookieName, Lifetime: sessionLife})
	if err != nil {
		return nil, err
	}
	tickets, err := ticket.New(ticket.Config{})
	if err != nil {
		return nil, err
	}
	tokens, err := jwt.New(jwt.Config{Issuer: c.Origin, Audience: c.Origin + chatGate, Keys: jwt.PublicSet(c.Signers.access)})
	if err != nil {
		return nil, err
	}
	identity, err := proxy.NewIdentity(c.Signers.identity, c.Origin, chatName)
	if err != nil {
		return nil, err
	}
	backend, err := proxy.New(proxy.Config{To: c.Backend, Identity: identity, StripCookies: []string{sessions.CookieName()}})
	if err != nil {
		return nil, err
	}
	site, err := newSite(siteConfig{c.Origin, c.Evil, c.Middle, c.Seals.pin.String(), c.Seals.sealing.Documents[middle]})
	if err != nil {
		return nil, err
	}

	view := newView()
	own := origin.Config{Trusted: []string{c.Origin}, Hosts: []string{host}, Dev: true}
	either := own // the relay keeps the name that the browser used
	either.Hosts = []string{host, middle}
	everyName := own
	everyName.Hosts = []string{"localhost", "127.0.0.1", "[::1]"} // the site sends them to the one that counts
	doors, err := newDoors(func() (*sallyport.Door, error) {
		return sallyport.New(sallyport.Config{
			Origin:  everyName,
			Headers: headers.Config{Dev: true, ConnectSrc: []string{"wss://" + host, "wss://" + middle}},
			Auth:    auth.First(tickets, tokens, sessions),
			Gates: []sallyport.Gate{
				{
					Path: chatGate, Origin: &either, Guard: &guard.Config{Idle: chatIdle, Ping: chatBeat, MaxMessage: maxLine}, Route: backend,
					Seal: sallyport.SealOffered, // with cookies, which the relay sees: a key binds credentials where it matters
				},
				{
					Path: eventsGate, Origin: &own, Guard: &guard.Config{Idle: 24 * time.Hour, MaxMessage: 1}, Route: sallyport.Handler(view.watch),
					Auth: auth.Anonymous("it shows what happens at the door of a demo, to the demo's own page, and no secret"),
				},
				{
					Path: middleGate, Origin: &own, Guard: &guard.Config{Idle: 24 * time.Hour, MaxMessage: 1},
					Route: sallyport.Handler(c.Relay.heard.watch), Auth: auth.First(sessions),
				},
			},
			API: sallyport.API{
				Prefix: prefix, Origin: c.Origin, GetToken: true, Sessions: sessions, Signer: c.Signers.access, TokenLife: tokenLife,
				Documents: map[string][]byte{"/.well-known/sallyport-identity.jwks": identity.JWKS()},
			},
			App:         site,
			Observe:     view.note,
			Revocations: c.State.Revocations(),
			Tickets:     tickets,
			Sealing:     c.Seals.sealing,
		})
	})
	if err != nil {
		return nil, err
	}
	people, err := newPeople(c.Origin, sessions, c.Signers.access, doors)
	if err != nil {
		return nil, err
	}
	trouble := &trouble{people, doors, c.Cable, c.Relay}
	return &guardedDoor{doors: doors, cable: c.Cable, relay: c.Relay, sessions: sessions, own: map[string]http.Handler{
		loginPath:   doors.secure(people.login),
		expiredPath: doors.secure(people.expired),
		troublePath: doors.secure(trouble.serve),
	}}, nil
}
