package latchkey_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"example.com/latchkey"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/internal/record"
	"example.com/latchkey/store"
	"example.com/latchkey/store/memory"
	"example.com/latchkey/store/postgres"
)

func TestAuthenticateIsOneRead(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		k.Store.Reset()
		_, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		if r, u := k.Store.Reads.Load(), k.Store.Updates.Load(); r != 1 || u != 0 {
			k.Errorf("%d reads and %d updates", r, u)
		}
	})
}

// spied counts the writes and statements of a connection to the server.
type spied struct {
	net.Conn
	trips, statements *atomic.Int64
}

// Write counts one round trip, and each Execute or simple Query in it as a statement.
func (s spied) Write(b []byte) (int, error) {
	s.trips.Add(1)
	for rest := b; len(rest) >= 5; {
		if rest[0] == 'E' || rest[0] == 'Q' {
			s.statements.Add(1)
		}
		rest = rest[min(len(rest), 1+int(binary.BigEndian.Uint32(rest[1:]))):]
	}
	return s.Conn.Write(b)
}

func TestAuthenticateIsOneStatementAndOneRoundTripOnPostgreSQL(t *testing.T) {
	for _, pooler := range []bool{false, true} {
		config, err := pgxpool.ParseConfig(pgtest.Shared(t).Address())
		if err != nil {
			t.Fatal(err)
		}
		var trips, statements atomic.Int64
		config.MaxConns = 1
		config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false }
		config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			return spied{conn, &trips, &statements}, err
		}
		pool, err := pgxpool.NewWithConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		s, err := postgres.OpenPool(t.Context(), pool, postgres.Options{Namespace: pgtest.Namespace(), TransactionPooler: pooler})
		if err != nil {
			t.Fatal(err)
		}
		k := kit.New(t, s, kit.Documented)
		k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		for range 3 {
			trips.Store(0)
			statements.Store(0)
			k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())))
			if trips.Load() != 1 || statements.Load() != 1 {
				t.Errorf("pooler %v: %d round trips, %d statements", pooler, trips.Load(), statements.Load())
			}
		}
	}
}

func TestAuthenticateRefusesWhatIsNoSecret(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		s := session.Secret.Reveal()
		other := "0"
		if s[63] == '0' {
			other = "1"
		}
		for name, text := range map[string]string{
			"empty": "", "cut": s[:63], "extended": s + "0", "upper case": strings.ToUpper(s[:63]) + "A", "padded": s[:63] + "=",
			"space": s[:63] + " ", "last character": s[:63] + other, "id": session.ID, "long": strings.Repeat("a", 1<<20),
		} {
			if _, err := k.Visitor.Authenticate(k.Ctx, text); !errors.Is(err, latchkey.ErrUnauthorized) {
				k.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestLastSeenIsWrittenOnceIn24Hours(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		session, account := k.SignIn(kit.Ada)
		authenticate := func(reads, updates int64) {
			k.Helper()
			k.Store.Reset()
			_, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())
			k.Must(err)
			if r, u := k.Store.Reads.Load(), k.Store.Updates.Load(); r != reads || u != updates {
				k.Errorf("%d reads and %d updates, want %d and %d", r, u, reads, updates)
			}
		}
		k.Clock.Advance(24*time.Hour - time.Microsecond)
		authenticate(1, 0)
		k.Clock.Advance(time.Microsecond)
		k.Forget()
		authenticate(1, 1)
		authenticate(1, 0)
		if len(k.Told.Take())+len(k.Logs()) != 0 {
			k.Error("it is told or logged")
		}
		shown, err := account.User(k.Ctx)
		k.Must(err)
		if !shown.AccessedAt.Equal(k.Clock.Now()) || !shown.UpdatedAt.Equal(user.UpdatedAt) {
			k.Errorf("seen %v, updated %v", shown.AccessedAt, shown.UpdatedAt)
		}
	})
}

// If several calls find a last-seen time out of date, only one of them writes it.
func TestLastSeenIsWrittenOnceUnderARace(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		k.Clock.Advance(25 * time.Hour)
		var group sync.WaitGroup
		for range 16 {
			group.Go(func() {
				if err := kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())); err != nil {
					k.Errorf("%v", err)
				}
			})
		}
		group.Wait()
		k.Store.Reset()
		k.Must(kit.Err(k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal())))
		if k.Store.Updates.Load() != 0 {
			k.Error("it is still old")
		}
	})
}

type readOnly struct{ store.Store }

func (readOnly) Update(context.Context, func(context.Context, store.Tx) error) error {
	return fmt.Errorf("the disk of somebody is full")
}

func TestFailureToWriteLastSeenIsLoggedNotReturned(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		var logged bytes.Buffer
		engine, err := latchkey.New(readOnly{k.Store}, latchkey.Config{
			Keys: k.Keys, LimiterPerProcess: true, Hasher: hashertest.New(k.T), Now: k.Clock.Now, Logger: slog.New(slog.NewTextHandler(&logged, nil)),
		})
		k.Must(err)
		k.Clock.Advance(25 * time.Hour)
		account, err := engine.Guest(kit.Client).Authenticate(k.Ctx, session.Secret.Reveal())
		k.Must(err)
		k.Must(kit.Err(account.User(k.Ctx)))
		if !strings.Contains(logged.String(), "last seen") || !strings.Contains(logged.String(), "disk") {
			k.Errorf("logged: %s", logged.String())
		}
	})
}

// If a session ends or a user is deleted while the last-seen time is being written,
// the row does not come back.
func TestLastSeenDoesNotReviveWhatHasEnded(t *testing.T) {
	kit.OnEveryStore(t, kit.Documented, func(k *kit.Kit) {
		user := k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		k.Clock.Advance(25 * time.Hour)
		k.Interfere(func() { k.Must(k.Users().Delete(k.Ctx, user.ID)) })
		account, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal()) // the session was live when it was read
		k.Must(err)
		k.Refuses("the handle", latchkey.ErrUnauthorized, func() error { return kit.Err(account.User(k.Ctx)) })
		if n := k.Rows()["sessions"] + k.Rows()["users"]; n != 0 {
			k.Errorf("%d rows came back", n)
		}
	})
}

func TestOwedIsDecidedByTheRowAlone(t *testing.T) {
	for _, c := range []struct {
		change func(*record.Session)
		want   error
	}{
		{func(s *record.Session) {}, nil},
		{func(s *record.Session) {
			s.UserBlocked, s.UserMustReset, s.UserMFA, s.UserFactors = true, true, true, "email"
		}, latchkey.ErrUserBlocked},
		{func(s *record.Session) { s.UserMustReset, s.UserMFA, s.UserFactors = true, true, "email" }, latchkey.ErrPasswordResetRequired},
		{func(s *record.Session) { s.UserMFA, s.UserFactors = true, "email" }, latchkey.ErrMoreFactorsRequired},
		{func(s *record.Session) { s.UserMFA, s.UserFactors, s.Factors = true, "email", "password email" }, nil},
		{func(s *record.Session) { s.UserMFA = true }, nil},
		{func(s *record.Session) { s.UserFactors = "email phone" }, nil},
	} {
		k := kit.New(t, memory.Open(), kit.Documented)
		k.Tampered = true
		k.SignUp(kit.Ada)
		session, _ := k.SignIn(kit.Ada)
		k.Must(k.Store.Update(k.Ctx, func(ctx context.Context, tx store.Tx) error {
			s, err := record.Sessions.Get(ctx, tx, record.Sessions.Primary(), store.Text(session.ID))
			if err != nil {
				return err
			}
			c.change(s)
			return record.Sessions.Replace(ctx, tx, s)
		}))
		if _, err := k.Visitor.Authenticate(k.Ctx, session.Secret.Reveal()); !errors.Is(err, c.want) || err != nil && c.want == nil {
			t.Errorf("%v, want %v", err, c.want)
		}
	}
}

// BENCHMARKS.md says that Authenticate on memory has 3 allocations: the engine adds none to
// those of the store and the account.
func TestAuthenticateHasTheAllocationsOfTheBenchmarks(t *testing.T) {
	if kit.RaceDetector {
		return // it allocates
	}
	k := kit.New(t, memory.Open(), kit.Documented)
	engine, err := latchkey.New(k.Raw, latchkey.Config{Keys: k.Keys, LimiterPerProcess: true, Hasher: k.Hasher, Now: k.Clock.Now})
	k.Must(err)
	session, _ := k.Anonymous()
	guest, secret := engine.Guest(kit.Client), session.Secret.Reveal()
	n := testing.AllocsPerRun(1000, func() {
		if _, err := guest.Authenticate(k.Ctx, secret); err != nil {
			t.Error(err)
		}
	})
	if n > 3 {
		t.Errorf("%v allocations, want 3", n)
	}
}
