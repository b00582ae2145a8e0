package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"example.com/latchkey"
	"example.com/latchkey/authtest"
	"example.com/latchkey/passkey"
)

// page is the page of the tour that asks for passkeys.
const page = "https://app.example.org"

// newPasskeys returns the passkeys of the tour.
func newPasskeys() (*passkey.RelyingParty, error) {
	return passkey.New(passkey.Config{RPID: "example.org", Name: "Tour", Origins: []string{page}})
}

// byPasskey makes a passkey and signs in by it, uses it as a second factor, and deletes it. The test kit's
// device stands in for a browser: it answers as navigator.credentials.create and get do.
func (t *tour) byPasskey(ctx context.Context) error {
	const password = "correct horse battery"
	phone := authtest.NewDevice(page)
	account, err := t.signUp(ctx, password)
	if err != nil {
		return err
	}
	start, err := account.StartPasskeyEnrolment(ctx, latchkey.PasskeyEnrolment{})
	if err != nil {
		return err
	}
	answer, err := phone.Create(start.Options)
	if err != nil {
		return err
	}
	made, err := account.FinishPasskeyEnrolment(ctx, answer, "Telephone")
	if err != nil {
		return err
	}
	fmt.Fprintf(t.out, "Enrolled: %s, synced: %v\n", made.Name, made.Synced)

	session, err := t.offer(ctx, phone)
	if err != nil {
		return err
	}
	fmt.Fprintln(t.out, "Signed in without a name by", strings.Join(session.Factors, " and "))

	if _, err := account.UpdateMFA(ctx, true); err != nil {
		return err
	}
	if account, err = t.passwordThenPasskey(ctx, password, phone); err != nil {
		return err
	}
	if err := account.DeletePasskey(ctx, made.ID); err != nil { // the session has just proven it
		return err
	}
	_, err = t.offer(ctx, phone)
	fmt.Fprintln(t.out, "Once more, after it was deleted:", err)
	var unknown *latchkey.UnknownPasskeyError
	if !errors.As(err, &unknown) {
		return errors.New("the passkey is not unknown")
	}
	var signal struct{ RPID, CredentialID string }
	if err := json.Unmarshal(unknown.Signal, &signal); err != nil {
		return err
	}
	fmt.Fprintf(t.out, "The page tells the browser to forget passkey %s of %s\n", signal.CredentialID, signal.RPID)
	return nil
}

// offer signs in by the passkey that the user of a device chooses. It names no user.
func (t *tour) offer(ctx context.Context, device *authtest.Device) (*latchkey.Session, error) {
	start, err := t.guest.StartPasskeySession(ctx, latchkey.PasskeyOffer{})
	if err != nil {
		return nil, err
	}
	answer, err := device.Get(start.Options)
	if err != nil {
		return nil, err
	}
	return t.guest.FinishPasskeySession(ctx, answer)
}

// passwordThenPasskey signs in by a password, and by a passkey as the second factor.
func (t *tour) passwordThenPasskey(ctx context.Context, password string, device *authtest.Device) (*latchkey.Account, error) {
	session, err := t.guest.CreateEmailPasswordSession(ctx, t.email, password)
	if err != nil {
		return nil, err
	}
	_, err = t.guest.Authenticate(ctx, session.Secret.Reveal())
	var owed *latchkey.MoreFactorsError
	if !errors.As(err, &owed) {
		return nil, errors.New("no second factor is owed")
	}
	start, err := owed.Pending.StartPasskeyChallenge(ctx)
	if err != nil {
		return nil, err
	}
	answer, err := device.Get(start.Options)
	if err != nil {
		return nil, err
	}
	if session, err = owed.Pending.FinishPasskeyChallenge(ctx, answer); err != nil {
		return nil, err
	}
	fmt.Fprintln(t.out, "Signed in by", strings.Join(session.Factors, " and "))
	return t.guest.Authenticate(ctx, session.Secret.Reveal())
}
