package proxy

import (
	"errors"
	"strings"
	"time"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/auth/jwt"
)

// The signed identity. A verifier pins the type, the audience and the key set
// at /.well-known/sallyport-identity.jwks: nothing else that the door signs is
// an identity, and an identity is no credential at the door.
const (
	IdentityHeader = "Sallyport-Identity"
	IdentityType   = "sallyport-identity+jwt"
	IdentityLife   = 60 * time.Second
)

// Identity tells a backend, in a JWT of its own kind, who was admitted.
type Identity struct {
	signer           *jwt.Signer
	issuer, audience string
}

// NewIdentity returns an Identity that signs for one backend. signer must not
// sign anything else. issuer is the door, by its public origin; audience is the
// backend, by whatever name it verifies.
func NewIdentity(signer *jwt.Signer, issuer, audience string) (*Identity, error) {
	switch {
	case signer == nil:
		return nil, errors.New("identity: there is no signer")
	case issuer == "" || audience == "":
		return nil, errors.New("identity: issuer and audience must be named, or a token for one backend is good at another")
	}
	return &Identity{signer: signer, issuer: issuer, audience: audience}, nil
}

// tokenClaims are the claims of an identity.
type tokenClaims struct {
	Issuer    string     `json:"iss"`
	Audience  string     `json:"aud"`
	IssuedAt  int64      `json:"iat"`
	Expires   int64      `json:"exp"`
	Subject   string     `json:"sub,omitempty"`
	SubjectID *subjectID `json:"sub_id,omitempty"`
	Session   string     `json:"sid,omitempty"`
	Scope     string     `json:"scope,omitempty"`
	Method    string     `json:"method,omitempty"`
	Conn      string     `json:"cid,omitempty"`
}

type subjectID struct {
	Format  string `json:"format"`
	Issuer  string `json:"iss"`
	Subject string `json:"sub"`
}

// Token signs who id is, for 60 s and never beyond the end of id. Claims: iss,
// aud, iat, exp, sub, sub_id (the user's issuer and subject, RFC 9493, section
// 3.2.5), sid, scope, method, and cid, the connection's id; those that are
// empty are left out.
func (i *Identity) Token(id auth.Identity, conn string) (string, error) {
	now := time.Now()
	end := now.Add(IdentityLife)
	if !id.Expires.IsZero() && id.Expires.Before(end) {
		end = id.Expires
	}
	c := tokenClaims{
		Issuer: i.issuer, Audience: i.audience, IssuedAt: now.Unix(), Expires: end.Unix(), Subject: id.Subject, Session: id.Session,
		Scope: strings.Join(id.Scopes, " "), Method: id.Method, Conn: conn,
	}
	if id.Subject != "" {
		c.SubjectID = &subjectID{"iss_sub", id.Issuer, id.Subject}
	}
	return i.signer.Sign(IdentityType, c)
}

// JWKS is the document for /.well-known/sallyport-identity.jwks.
func (i *Identity) JWKS() []byte { return i.signer.JWKS() }
