package sallyport_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/coder/websocket"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/auth/jwt"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/origin"
)

// dial opens a connection as a page of app.example.com would, with a token in
// place of its ticket.
func dial(ctx context.Context, server *httptest.Server, path, token string) (*websocket.Conn, error) {
	c, _, err := websocket.Dial(ctx, server.URL+path, &websocket.DialOptions{
		Host:       "app.example.com",
		HTTPHeader: http.Header{"Origin": {"https://app.example.com"}, "Authorization": {"Bearer " + token}},
	})
	return c, err
}

// A door with one gate, in an ordinary http.Server.
func Example() {
	signer, err := jwt.NewSigner() // stands for your identity provider
	if err != nil {
		log.Fatal(err)
	}
	tokens, err := jwt.New(jwt.Config{Issuer: "https://idp.example.com", Audience: "chat", Keys: jwt.PublicSet(signer)})
	if err != nil {
		log.Fatal(err)
	}

	door, err := sallyport.New(sallyport.Config{
		Origin: origin.Config{Trusted: []string{"https://app.example.com"}, Hosts: []string{"app.example.com"}},
		Auth:   auth.First(tokens),
		Guard:  guard.Config{Idle: time.Minute},
	})
	if err != nil {
		log.Fatal(err) // all mistakes at once
	}
	door.Handle("GET /ws", sallyport.Handler(func(ctx context.Context, c *sallyport.Conn) error {
		for m, err := range c.Messages(ctx) {
			if err != nil {
				return err
			}
			reply := fmt.Sprintf("%s said %s", c.Identity().Subject, m.Data)
			if err := c.Send(ctx, sallyport.Message{Kind: sallyport.Text, Data: []byte(reply)}); err != nil {
				return err
			}
		}
		return nil
	}))

	server := httptest.NewServer(door)
	defer server.Close()
	ctx := context.Background()
	defer door.Drain(ctx)

	token, _ := signer.Sign("at+jwt", map[string]any{
		"iss": "https://idp.example.com", "aud": "chat", "sub": "ada", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(),
	})
	c, err := dial(ctx, server, "/ws", token)
	if err != nil {
		log.Fatal(err)
	}
	c.Write(ctx, websocket.MessageText, []byte("hello"))
	_, data, _ := c.Read(ctx)
	fmt.Println(string(data))

	door.Revoke(ctx, guard.Match{Issuer: "https://idp.example.com", Subject: "ada"})
	_, _, err = c.Read(ctx)
	var closed websocket.CloseError
	errors.As(err, &closed)
	fmt.Println(int(closed.Code), closed.Reason)

	// Output:
	// ada said hello
	// 4001 Unauthorized;auth.revoked
}

// fromSCS admits whom an scs session knows.
type fromSCS struct{ sessions *scs.SessionManager }

func (a fromSCS) Authenticate(ctx context.Context, r *http.Request) (auth.Identity, error) {
	user := a.sessions.GetString(r.Context(), "user")
	if user == "" {
		return auth.Identity{}, auth.ErrNoCredentials
	}
	return auth.Identity{Issuer: "example", Subject: user, Session: a.sessions.Token(r.Context()), Method: "scs"}, nil
}

// A door behind chi and its middleware, with the sessions of scs.
func Example_chi() {
	sessions := scs.New()
	door, err := sallyport.New(sallyport.Config{
		Origin: origin.Config{Trusted: []string{"https://app.example.com"}, Hosts: []string{"app.example.com"}},
		Auth:   fromSCS{sessions},
		Gates:  []sallyport.Gate{{Path: "/live", Route: sallyport.OnMessage(func(c *sallyport.Conn, m sallyport.Message) { c.Post(m) })}},
	})
	if err != nil {
		log.Fatal(err)
	}

	router := chi.NewRouter()
	router.Use(middleware.RequestID, middleware.Recoverer, middleware.Compress(5), sessions.LoadAndSave)
	router.Post("/login", func(w http.ResponseWriter, r *http.Request) { sessions.Put(r.Context(), "user", "ada") })
	router.Handle("/live", door)
	server := httptest.NewServer(router)
	defer server.Close()
	ctx := context.Background()
	defer door.Drain(ctx)

	login, err := http.Post(server.URL+"/login", "", nil)
	if err != nil {
		log.Fatal(err)
	}
	login.Body.Close()
	c, _, err := websocket.Dial(ctx, server.URL+"/live", &websocket.DialOptions{
		Host:       "app.example.com",
		HTTPHeader: http.Header{"Origin": {"https://app.example.com"}, "Cookie": {login.Cookies()[0].String()}},
	})
	if err != nil {
		log.Fatal(err)
	}
	c.Write(ctx, websocket.MessageText, []byte("through chi and scs"))
	_, data, _ := c.Read(ctx)
	fmt.Println(string(data))
	// Output: through chi and scs
}

// A message to everybody whom a condition holds for.
func ExampleDoor_Broadcast() {
	door, err := sallyport.New(sallyport.Config{
		Origin: origin.Config{Trusted: []string{"https://app.example.com"}, Hosts: []string{"app.example.com"}},
		Auth:   auth.Anonymous("an example that everybody may listen to"),
		Gates:  []sallyport.Gate{{Path: "/news", Route: sallyport.OnMessage(func(*sallyport.Conn, sallyport.Message) {})}},
	})
	if err != nil {
		log.Fatal(err)
	}
	server := httptest.NewServer(door)
	defer server.Close()
	ctx := context.Background()
	defer door.Drain(ctx)

	c, _, err := websocket.Dial(ctx, server.URL+"/news", &websocket.DialOptions{
		Host: "app.example.com", HTTPHeader: http.Header{"Origin": {"https://app.example.com"}},
	})
	if err != nil {
		log.Fatal(err)
	}
	queued, dropped := door.Broadcast(door.Conns(), sallyport.Message{Kind: sallyport.Text, Data: []byte("the bridge is open")})
	_, data, _ := c.Read(ctx)
	fmt.Println(queued, dropped, string(data))
	for _, w := range door.Weaknesses() {
		fmt.Println("-", w)
	}
	// Output:
	// 1 0 the bridge is open
	// - gate /news admits everybody: an example that everybody may listen to
	// - revocations are kept in memory: a restart forgets them
	// - TLS is not enforced here: the server in front must refuse plaintext
	// - request heads are read by net/http, which accepts bare LF, folded lines and doubled fields that a strict parser refuses
	// - connections that have not sent a request are bounded by the server's own timeouts only
}

// A handler that refuses what it is asked for, with a reason of the table.
func ExampleHandler() {
	route := sallyport.Handler(func(ctx context.Context, c *sallyport.Conn) error {
		m, err := c.Receive(ctx)
		if err != nil {
			return err
		}
		if m.Kind != sallyport.Text {
			return deny.Because(deny.WSUnsupported, fmt.Errorf("a %s message", m.Kind))
		}
		return &sallyport.CloseError{Code: 4100, Reason: "see you"}
	})
	fmt.Printf("%T\n", route)
	// Output: sallyport.handler
}
