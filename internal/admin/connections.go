package admin

import (
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/sallyport/sallyport"
	"github.com/sallyport/sallyport/deny"
)

// Connection is one open connection.
type Connection struct {
	ID         string    `json:"id"`
	Gate       string    `json:"gate"`
	Issuer     string    `json:"issuer,omitempty"`
	Subject    string    `json:"subject,omitempty"`
	Session    string    `json:"session,omitempty"`
	Credential string    `json:"credential,omitempty"`
	Method     string    `json:"method"`
	Scopes     []string  `json:"scopes,omitempty"`
	Origin     string    `json:"origin"`
	Address    string    `json:"address"`
	Protocol   string    `json:"protocol,omitempty"`
	Sealed     bool      `json:"sealed"` // above TLS
	Began      time.Time `json:"began"`
	Expires    time.Time `json:"expires"`
	BytesIn    int64     `json:"bytes_received"`
	BytesOut   int64     `json:"bytes_sent"`
	In         int64     `json:"messages_received"`
	Out        int64     `json:"messages_sent"`
}

// List is the answer of GET /connections, oldest first.
type List struct {
	Connections []Connection `json:"connections"`
	Total       int          `json:"total"` // that fit the filter; more than listed if the limit was reached
}

func describe(c *sallyport.Conn) Connection {
	id := c.Identity()
	out := Connection{
		ID: c.ID(), Gate: c.Gate(), Issuer: id.Issuer, Subject: id.Subject, Session: id.Session, Credential: id.Credential,
		Method: id.Method, Scopes: id.Scopes, Origin: c.Origin(), Protocol: c.Protocol(), Sealed: c.Sealed(),
		Began: c.Began().UTC().Truncate(time.Millisecond), Expires: c.Expires().UTC().Truncate(time.Millisecond),
	}
	if c.Address().IsValid() {
		out.Address = c.Address().String()
	}
	out.BytesIn, out.BytesOut = c.Bytes()
	out.In, out.Out = c.Counts()
	return out
}

// filter is what the query of a request asks for. Everything given must fit.
type filter struct {
	texts   map[string]string
	address netip.Prefix
}

// filters are the texts that a filter can name, and where they are found.
var filters = map[string]func(*sallyport.Conn) string{
	"id":         (*sallyport.Conn).ID,
	"gate":       (*sallyport.Conn).Gate,
	"origin":     (*sallyport.Conn).Origin,
	"issuer":     func(c *sallyport.Conn) string { return c.Identity().Issuer },
	"subject":    func(c *sallyport.Conn) string { return c.Identity().Subject },
	"session":    func(c *sallyport.Conn) string { return c.Identity().Session },
	"credential": func(c *sallyport.Conn) string { return c.Identity().Credential },
}

// parse reads a query strictly: an unknown, doubled or empty name is a mistake,
// since a filter that is silently ignored ends the wrong connections. also are
// names that are no filters.
func parse(r *http.Request, also ...string) (filter, url.Values, error) {
	f := filter{texts: map[string]string{}}
	bad := func(why string) (filter, url.Values, error) {
		return f, nil, problem(http.StatusBadRequest, "query", why)
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return bad("the query is malformed")
	}
	for name, values := range query {
		if len(values) != 1 || values[0] == "" {
			return bad("every filter is given once and is not empty")
		}
		switch _, known := filters[name]; {
		case known:
			f.texts[name] = values[0]
		case name == "address":
			if f.address, err = netip.ParsePrefix(values[0]); err != nil {
				addr, err := netip.ParseAddr(values[0])
				if err != nil {
					return bad("address is an address or a range, as 10.0.0.0/8")
				}
				f.address = netip.PrefixFrom(addr.Unmap(), addr.Unmap().BitLen())
			}
		case !slices.Contains(also, name):
			return bad("there is a filter that is not known: id, gate, origin, issuer, subject, session, credential, address")
		}
	}
	return f, query, nil
}

func (f filter) empty() bool { return len(f.texts) == 0 && !f.address.IsValid() }

func (f filter) fits(c *sallyport.Conn) bool {
	for name, want := range f.texts {
		if filters[name](c) != want {
			return false
		}
	}
	return !f.address.IsValid() || f.address.Contains(c.Address())
}

func (a *api) list(r *http.Request) (any, error) {
	f, query, err := parse(r, "limit")
	if err != nil {
		return nil, err
	}
	limit := defaultLimit
	if s := query.Get("limit"); s != "" {
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 || limit > maxLimit {
			return nil, problem(http.StatusBadRequest, "query", "limit is a number from 1 to "+strconv.Itoa(maxLimit))
		}
	}
	var found []*sallyport.Conn
	for c := range a.Door.Conns() {
		if f.fits(c) {
			found = append(found, c)
		}
	}
	slices.SortFunc(found, func(a, b *sallyport.Conn) int { return a.Began().Compare(b.Began()) })
	out := List{Connections: []Connection{}, Total: len(found)}
	for _, c := range found[:min(limit, len(found))] {
		out.Connections = append(out.Connections, describe(c))
	}
	return out, nil
}

// Ended says how many connections were ended.
type Ended struct {
	Ended int `json:"ended"`
}

func (a *api) end(r *http.Request) (any, error) {
	f, query, err := parse(r, "all")
	if err != nil {
		return nil, err
	}
	all := query.Get("all")
	switch {
	case all != "" && all != "true":
		return nil, problem(http.StatusBadRequest, "query", "all can only be true")
	case f.empty() && all == "":
		return nil, problem(http.StatusBadRequest, "query", "name a filter, or all=true")
	case !f.empty() && all != "":
		return nil, problem(http.StatusBadRequest, "query", "a filter and all=true exclude each other")
	}
	n := 0
	for c := range a.Door.Conns() {
		if f.fits(c) {
			c.End(deny.AdminClosed, nil)
			n++
		}
	}
	about := f.attributes()
	if all != "" {
		about = []slog.Attr{slog.Bool("all", true)}
	}
	a.did("connections.end", n, about...)
	return Ended{n}, nil
}
