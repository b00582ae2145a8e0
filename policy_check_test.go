package latchkey_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"example.com/latchkey"
	"example.com/latchkey/hasher"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/store/memory"
)

func TestStrictPolicyIsWhatItSays(t *testing.T) {
	k := kit.New(t, memory.Open(), latchkey.StrictPolicy())
	for p, want := range map[string]error{
		"fourteen chars": latchkey.ErrArgumentInvalid, "fifteen chars!!": nil, "12345678901234567": nil, "ada@example.org is me": latchkey.ErrPasswordPersonalData,
	} {
		if err := kit.Err(k.Visitor.CreateAccount(k.Ctx, latchkey.NewAccount{Email: kit.Ada, Password: p})); !errors.Is(err, want) {
			t.Errorf("%q: %v", p, err)
		}
		if user, err := k.Users().Create(k.Ctx, latchkey.NewUser{Email: "x@example.org"}); err == nil {
			k.Must(k.Users().Delete(k.Ctx, user.ID))
		}
		k.DeleteAll()
	}
	if got := latchkey.StrictPolicy().Password.Hash; got != hasher.Strict() {
		t.Errorf("hashes of %+v", got)
	}
	user, err := k.Users().Create(k.Ctx, latchkey.NewUser{})
	k.Must(err)
	if err := kit.Err(k.Users().Logs(k.Ctx, user.ID, latchkey.Limit(101))); !errors.Is(err, latchkey.ErrArgumentInvalid) {
		t.Errorf("a page of 101: %v", err)
	}
}

func TestPolicyBounds(t *testing.T) {
	for name, p := range map[string]latchkey.Policy{
		"Sessions.Limit":        {Sessions: latchkey.SessionPolicy{Limit: 101}},
		"Sessions.Limit is":     {Sessions: latchkey.SessionPolicy{Limit: -1}},
		"Sessions.Length":       {Sessions: latchkey.SessionPolicy{Length: time.Second}},
		"Sessions.Length is":    {Sessions: latchkey.SessionPolicy{Length: 366 * 24 * time.Hour}},
		"Password.Min":          {Password: latchkey.PasswordPolicy{Min: 7}},
		"Password.Min is":       {Password: latchkey.PasswordPolicy{Min: 257}},
		"UserLimit":             {UserLimit: 10_001},
		"UserLimit is":          {UserLimit: -1},
		"Password.History":      {Password: latchkey.PasswordPolicy{History: 21}},
		"Guessing.FreeFailures": {Guessing: latchkey.GuessingPolicy{FreeFailures: 11}},
		"Guessing.DisableAfter": {Guessing: latchkey.GuessingPolicy{DisableAfter: 19}},
		"PageLimit":             {PageLimit: 24},
		"PageLimit is":          {PageLimit: 5_001},
		"LogLength":             {LogLength: time.Hour},
		"SingleFactor.Idle":     {Sessions: latchkey.SessionPolicy{SingleFactor: latchkey.Lifetime{Idle: time.Second}}},
		"Anonymous.Absolute":    {Sessions: latchkey.SessionPolicy{Anonymous: latchkey.Lifetime{Absolute: -time.Hour}}},
		"Disabled":              {Disabled: 1 << 20},
		`Countries has "+49"`:   {Messages: latchkey.MessagePolicy{Countries: []string{"49", "+49"}}},
		`Countries has "DE"`:    {Messages: latchkey.MessagePolicy{Countries: []string{"DE"}}},
		`Countries has "4"`:     {Messages: latchkey.MessagePolicy{Countries: []string{"4"}}},
		`Countries has ""`:      {Messages: latchkey.MessagePolicy{Countries: []string{""}}},
		`needs ServiceNumbers`:  {Messages: latchkey.MessagePolicy{Countries: []string{"49", "979"}}},
		`Limits has "signUp"`:   {Guessing: latchkey.GuessingPolicy{Limits: map[string]ratelimit.Rule{"signUp": {Calls: 1, Window: time.Hour}}}},
		`Limits["createAccount`: {Guessing: latchkey.GuessingPolicy{Limits: map[string]ratelimit.Rule{"createAccount": {Calls: 0, Window: time.Hour}}}},
		`Limits["updateSession`: {Guessing: latchkey.GuessingPolicy{Limits: map[string]ratelimit.Rule{"updateSession": {Calls: 1, Window: time.Millisecond}}}},
		"below the minimum":     {Password: latchkey.PasswordPolicy{Hash: hasher.Params{Memory: 1024, Time: 1, Threads: 1}}},
	} {
		_, err := latchkey.New(memory.Open(), latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Policy: p})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := latchkey.New(memory.Open(), latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Policy: latchkey.StrictPolicy()}); err != nil {
		t.Error(err)
	}
}

// A host sees all faults of its policy at once, from every group.
func TestEveryFaultOfAPolicyIsReportedAtOnce(t *testing.T) {
	_, err := latchkey.New(memory.Open(), latchkey.Config{Keys: latchkey.Keys{Active: latchkey.GenerateKey()}, Policy: latchkey.Policy{
		PageLimit: 1, UserLimit: -1, Disabled: 1 << 20,
		Password: latchkey.PasswordPolicy{Min: 7, History: 21},
		Sessions: latchkey.SessionPolicy{Limit: 101, MultiFactor: latchkey.Lifetime{Idle: 1}},
		Factors:  latchkey.FactorPolicy{StepUpWindow: 1, Disabled: []latchkey.Factor{latchkey.FactorRecoveryCode}},
		Messages: latchkey.MessagePolicy{OTPLength: 1, RecoveryLength: 1},
		Guessing: latchkey.GuessingPolicy{DisableAfter: 1, Limits: map[string]ratelimit.Rule{"signUp": {}}},
	}})
	if err == nil {
		t.Fatal("no fault")
	}
	for _, fault := range []string{
		"Policy.PageLimit", "Policy.UserLimit", "Policy.Disabled", "Password.Min", "Password.History", "Sessions.Limit", "Sessions.MultiFactor.Idle",
		"Factors.StepUpWindow", "Factors.Disabled", "Messages.OTPLength", "Messages.RecoveryLength", "Guessing.DisableAfter", "Guessing.Limits",
	} {
		if !strings.Contains(err.Error(), fault) {
			t.Errorf("%s is not reported: %v", fault, err)
		}
	}
}
