package main

import (
	"context"

	"example.com/latchkey"
)

// factors are the operations that a session may also use while it owes a second factor.
type factors interface {
	MFAFactors(ctx context.Context) (latchkey.MFAFactors, error)
	CreateMFAChallenge(ctx context.Context, factor latchkey.Factor) (*latchkey.MFAChallenge, error)
	ConfirmMFAChallenge(ctx context.Context, challengeID, otp string) (*latchkey.Session, error)
}

func (c *call) factors() factors {
	if c.pending != nil {
		return c.pending
	}
	return c.account
}

func updateMFA(c *call) (*latchkey.User, error) {
	on, err := c.bool("mfa", nil)
	if err != nil {
		return nil, err
	}
	return c.account.UpdateMFA(c.r.Context(), on)
}

func listFactors(c *call) (any, error) { return factorsModel(c.factors().MFAFactors(c.r.Context())) }

func listUserFactors(c *call) (any, error) {
	return factorsModel(c.users().MFAFactors(c.r.Context(), c.user()))
}

func factorsModel(f latchkey.MFAFactors, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return object{"totp": f.TOTP, "email": f.Email, "phone": f.Phone, "recoveryCode": f.RecoveryCode, "custom": f.Custom}, nil
}

// totp refuses every type of authenticator but totp.
func (c *call) totp() error {
	if c.r.PathValue("type") != string(latchkey.FactorTOTP) {
		return invalidParam("type", "it must be totp")
	}
	return nil
}

func createAuthenticator(c *call) (any, error) {
	if err := c.totp(); err != nil {
		return nil, err
	}
	made, err := c.account.CreateMFAAuthenticator(c.r.Context(), latchkey.NewMFAAuthenticator{})
	if err != nil {
		return nil, err
	}
	return object{"secret": made.Secret.Reveal(), "uri": made.URI.Reveal()}, nil
}

func updateAuthenticator(c *call) (*latchkey.User, error) {
	if err := c.totp(); err != nil {
		return nil, err
	}
	otp, err := c.text("otp")
	if err != nil {
		return nil, err
	}
	return c.account.VerifyMFAAuthenticator(c.r.Context(), otp)
}

func deleteAuthenticator(c *call) (any, error) {
	if err := c.totp(); err != nil {
		return nil, err
	}
	return nil, c.account.DeleteMFAAuthenticator(c.r.Context())
}

func deleteUserAuthenticator(c *call) (any, error) {
	if err := c.totp(); err != nil {
		return nil, err
	}
	return nil, c.users().DeleteMFAAuthenticator(c.r.Context(), c.user())
}

func createChallenge(c *call) (any, error) {
	factor, err := c.text("factor")
	if err != nil {
		return nil, err
	}
	if factor == "recoverycode" { // some of the SDKs write it so
		factor = string(latchkey.FactorRecoveryCode)
	}
	challenge, err := c.factors().CreateMFAChallenge(c.r.Context(), latchkey.Factor(factor))
	if err != nil {
		return nil, err
	}
	return challengeModel(challenge), nil
}

func challengeModel(c *latchkey.MFAChallenge) object {
	return object{"$id": c.ID, "$createdAt": date(c.CreatedAt), "userId": c.UserID, "expire": date(c.Expire)}
}

func getUserChallenge(c *call) (any, error) {
	challenge, err := c.users().GetMFAChallenge(c.r.Context(), c.user(), c.r.PathValue("challengeId"))
	if err != nil {
		return nil, err
	}
	model := challengeModel(challenge)
	model["code"] = challenge.Code.Reveal()
	return model, nil
}

func updateChallenge(c *call) (any, error) {
	texts, err := c.texts("challengeId", "otp")
	if err != nil {
		return nil, err
	}
	session, err := c.factors().ConfirmMFAChallenge(c.r.Context(), texts[0], texts[1])
	if err != nil {
		return nil, err
	}
	return c.sessionModel(session), nil
}

func codesModel(codes *latchkey.MFARecoveryCodes, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	texts := make([]string, 0, len(codes.Codes))
	for _, code := range codes.Codes {
		texts = append(texts, code.Reveal())
	}
	return object{"recoveryCodes": texts}, nil
}

func recoveryCodes(do func(*latchkey.Account, context.Context) (*latchkey.MFARecoveryCodes, error)) func(c *call) (any, error) {
	return func(c *call) (any, error) { return codesModel(do(c.account, c.r.Context())) }
}

func userRecoveryCodes(do func(*latchkey.Users, context.Context, string) (*latchkey.MFARecoveryCodes, error)) func(c *call) (any, error) {
	return func(c *call) (any, error) { return codesModel(do(c.users(), c.r.Context(), c.user())) }
}
