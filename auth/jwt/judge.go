package jwt

import (
	"errors"

	"github.com/sallyport/sallyport/auth"
	"github.com/sallyport/sallyport/deny"
)

// Judge tells whether an identity that this verifier, or one configured before
// it, made would still be accepted: same issuer, same audience, and a key that
// is trusted now. The end of the credential is not judged; the clock does that.
//
// An identity of another method or issuer is answered with an error wrapping
// [auth.ErrNoCredentials], the rest with deny.PolicyChanged.
func (v *Verifier) Judge(id auth.Identity) error {
	switch {
	case id.Method != method || id.Issuer != v.config.Issuer:
		return auth.ErrNoCredentials
	case id.Audience != v.config.Audience:
		return deny.Because(deny.PolicyChanged, errors.New("jwt: another audience is demanded now"))
	case !v.HasKey(id.KeyID):
		return deny.Because(deny.PolicyChanged, errors.New("jwt: the key is no longer trusted"))
	}
	return nil
}

// method is the Method of the identities made here.
const method = "jwt"
