package admin

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
	"github.com/sallyport/sallyport/guard"
	"github.com/sallyport/sallyport/origin"
)

// Method is the method of identities that an administrator vouches for.
const Method = "admin"

// decode reads one JSON object without unknown names.
func decode(r *http.Request, v any) error {
	bad := func(why string) error { return problem(http.StatusBadRequest, "body", why) }
	if t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return problem(http.StatusUnsupportedMediaType, "body", "the body is a JSON object, with Content-Type: application/json")
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		return bad("the body was not received")
	}
	if len(data) > maxBody {
		return problem(http.StatusRequestEntityTooLarge, "body", "the body has more than 16 KiB")
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return bad("the body is not the JSON object that is asked for: " + plain(err))
	}
	if _, err := dec.Token(); err != io.EOF {
		return bad("the body has more than one JSON value")
	}
	return nil
}

// plain is an error of encoding/json without the values of the body.
func plain(err error) string {
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return t.Field + " is of another type"
	}
	if _, ok := errors.AsType[*json.SyntaxError](err); ok {
		return "it is no JSON"
	}
	return "a name is not known, or a value malformed"
}

func answer(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"internal"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

// maxAhead is how far issued_before may lie in the future: clocks differ, and
// anything beyond would revoke credentials that do not exist yet.
const maxAhead = time.Minute

func (a *api) revoke(r *http.Request) (any, error) {
	var m guard.Match
	if err := decode(r, &m); err != nil {
		return nil, err
	}
	if err := m.Check(); err != nil {
		return nil, problem(http.StatusBadRequest, "revocation", err.Error())
	}
	if time.Until(m.IssuedBefore) > maxAhead {
		return nil, problem(http.StatusBadRequest, "revocation", "issued_before lies in the future")
	}
	n, err := a.Door.Revoke(r.Context(), m)
	if err != nil {
		return nil, problem(http.StatusServiceUnavailable, "revocation", "the revocation could not be kept, so nothing was revoked")
	}
	a.did("revocation", n, revoked(m)...)
	return Ended{n}, nil
}

// Order asks for a ticket. Gate and Subject are required.
type Order struct {
	Gate      string   `json:"gate"`
	Subject   string   `json:"subject"`
	Issuer    string   `json:"issuer,omitempty"`     // default: the door itself
	Session   string   `json:"session,omitempty"`    // what a revocation may name
	Scopes    []string `json:"scopes,omitempty"`     //
	ExpiresIn int      `json:"expires_in,omitempty"` // seconds that the identity lives; default and most 86400
	Origin    string   `json:"origin,omitempty"`     // where it may be redeemed; default "none": a program
}

// Minted is a ticket and how to use it.
type Minted struct {
	Ticket     string `json:"ticket"`     // a subprotocol to offer, together with Protocol or the application's own
	Protocol   string `json:"protocol"`   // the neutral one
	ExpiresIn  int    `json:"expires_in"` // seconds in which the ticket must be used
	Credential string `json:"credential"` // by which the identity can be revoked
}

func (a *api) mint(r *http.Request) (any, error) {
	var o Order
	if err := decode(r, &o); err != nil {
		return nil, err
	}
	if o.Origin == "" {
		o.Origin = origin.None
	}
	if why := o.mistake(a); why != "" {
		return nil, problem(http.StatusBadRequest, "ticket", why)
	}
	now := time.Now()
	life := maxMinted
	if o.ExpiresIn > 0 {
		life = time.Duration(o.ExpiresIn) * time.Second
	}
	slices.Sort(o.Scopes)
	id := auth.Identity{
		Issuer: o.Issuer, Subject: o.Subject, Session: o.Session, Credential: newID(), Method: Method,
		IssuedAt: now, Expires: now.Add(life), Scopes: slices.Compact(o.Scopes),
	}
	if id.Issuer == "" {
		id.Issuer = a.Issuer
	}
	ticket, left, err := a.Mint(r.Context(), o.Gate, o.Origin, id)
	if err != nil {
		if _, ok := errors.AsType[*deny.Denial](err); ok {
			reason := deny.Of(err)
			return nil, problem(reason.Status(), reason.Code(), reason.Sentence())
		}
		return nil, err
	}
	a.did("ticket", 0, texts("gate", o.Gate, "subject", id.Subject, "issuer", id.Issuer, "session", id.Session,
		"credential", id.Credential, "origin", o.Origin)...)
	return Minted{Ticket: ticket, Protocol: "sallyport", ExpiresIn: int(left / time.Second), Credential: id.Credential}, nil
}

// mistake says what is wrong with o; "" if nothing is.
func (o *Order) mistake(a *api) string {
	long := func(s string) bool { return len(s) > 512 }
	_, known := origin.Parse(o.Origin)
	switch {
	case o.Gate == "" || a.Gate != nil && !a.Gate(o.Gate):
		return "there is no gate of this path"
	case o.Subject == "":
		return "a ticket is for a subject"
	case long(o.Subject), long(o.Issuer), long(o.Session), len(o.Scopes) > 64, slices.ContainsFunc(o.Scopes, long):
		return "names have at most 512 bytes, and there are at most 64 scopes"
	case slices.Contains(o.Scopes, ""):
		return "a scope is empty"
	case o.ExpiresIn < 0 || time.Duration(o.ExpiresIn) > maxMinted/time.Second:
		return "expires_in is 1 to 86400 seconds"
	case o.Origin != origin.None && !known:
		return "origin is none, or that of a page, as https://app.example.com"
	}
	return ""
}

// newID returns 128 random bits in hexadecimal.
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Shown is the effective configuration.
type Shown struct {
	YAML     string   `json:"yaml"`     // with a comment on where each value comes from; secrets are masked
	Warnings []string `json:"warnings"` // every setting that weakens the door
}

func (a *api) config(*http.Request) (any, error) {
	yaml, warnings, err := a.Show()
	if err != nil {
		return nil, err
	}
	return Shown{yaml, append([]string{}, warnings...)}, nil
}

func (a *api) reload(r *http.Request) (any, error) {
	if err := a.Reload(r.Context()); err != nil {
		return nil, problem(http.StatusUnprocessableEntity, "config", err.Error())
	}
	a.did("reload", 0)
	return map[string]bool{"reloaded": true}, nil
}
