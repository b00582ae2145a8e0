package nodes

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	goredis "github.com/redis/go-redis/v9"

	"example.com/latchkey"
	"example.com/latchkey/hasher"
	"example.com/latchkey/hasher/hashertest"
	"example.com/latchkey/hidden"
	"example.com/latchkey/internal/kit"
	"example.com/latchkey/internal/pgtest"
	"example.com/latchkey/notify"
	"example.com/latchkey/ratelimit"
	"example.com/latchkey/ratelimit/redis"
	"example.com/latchkey/ratelimit/stored"
	"example.com/latchkey/store"
	"example.com/latchkey/store/postgres"
)

// settings are those of a node. The environment has them as JSON.
type settings struct {
	Address   string
	Namespace string
	Pooler    bool
	Key       string
	Ahead     time.Duration // of the clock
	Limiter   string        // "" counts and refuses nothing, stored is on the same server, and another text is the address of a Redis
	Backend   string        // "" is PostgreSQL at Address, and bbolt and sqlite are in Dir
	Dir       string
	Outbox    *outbox // nil without one
}

const settingsEnv = "LATCHKEY_NODE"

// TestMain runs the tests, or serves as a node if the environment says so.
func TestMain(m *testing.M) {
	if text := os.Getenv(settingsEnv); text != "" {
		if err := serve(text); err != nil {
			log.Fatal(err)
		}
		os.Exit(0)
	}
	os.Exit(pgtest.Main(m))
}

// request is a line to a node, and answer is a line from it. The answers come in any order. A line without an ID is
// a message that the node's engine has sent.
type request struct {
	ID   int
	Op   string
	Args args
}

type answer struct {
	ID   int
	Out  args
	How  outcome
	Type string // of a refusal: that of the latchkey.Error
	Text string // of the error
}

type args map[string]string

// outcome is what a caller was told.
type outcome string

// The outcomes.
const (
	done    outcome = "done"
	refused outcome = "refused" // by a rule of the engine
	fault   outcome = "fault"   // nothing has happened
	unknown outcome = "unknown" // it may have happened
)

// classify returns what an error tells the caller.
func classify(err error) (how outcome, kind string) {
	var known *latchkey.Error
	switch {
	case err == nil:
		return done, ""
	case errors.Is(err, store.ErrUnknownOutcome):
		return unknown, ""
	case latchkey.IsFault(err):
		return fault, ""
	case errors.As(err, &known):
		return refused, known.Type
	}
	return fault, ""
}

// quiet is the part of a test that a node needs to make a fast hasher.
type quiet struct{ testing.TB }

func (quiet) Helper()           {}
func (quiet) Fatal(args ...any) { log.Fatal(args...) }

// limiterOf makes the limiter of a node.
func limiterOf(s settings) (ratelimit.Limiter, error) {
	switch s.Limiter {
	case "":
		return ratelimit.ReportOnly(ratelimit.NewMemory(0)), nil
	case "stored":
		pool, err := pgxpool.New(context.Background(), s.Address+"&pool_max_conns=8")
		if err != nil {
			return nil, err
		}
		return stored.New(context.Background(), pool, stored.Options{Namespace: s.Namespace, TransactionPooler: s.Pooler, Timeout: time.Minute})
	}
	return redis.New(goredis.NewClient(&goredis.Options{Addr: s.Limiter}), redis.Options{Timeout: time.Minute})
}

// maxStep is the Config.MaxClockStep of the nodes: more than their clocks differ.
const maxStep = 2 * time.Minute

// configOf returns the configuration of an engine of a node. The engine that checks the store at the end has it too.
func configOf(s settings, h *hasher.Hasher) (latchkey.Config, error) {
	key, err := latchkey.ParseKey(s.Key)
	if err != nil {
		return latchkey.Config{}, err
	}
	limiter, err := limiterOf(s)
	c := latchkey.Config{
		Keys: latchkey.Keys{Active: key}, Hasher: h, Limiter: limiter, LimiterPerProcess: s.Limiter == "", MaxClockStep: maxStep,
		Now:           func() time.Time { return time.Now().Add(s.Ahead) },
		RedirectHosts: []string{"app.example.org"},
	}
	if s.Outbox != nil {
		s.Outbox.configure(&c, s.Ahead)
	}
	return c, err
}

// openRows opens the store of a node.
func openRows(ctx context.Context, s settings) (store.Store, error) {
	if s.Backend == "" {
		return postgres.OpenWith(ctx, s.Address, postgres.Options{Namespace: s.Namespace, TransactionPooler: s.Pooler, MaxConns: 8})
	}
	for _, b := range kit.Backends {
		if b.Name == s.Backend {
			return b.Open(quiet{}, s.Dir)
		}
	}
	return nil, errors.New("no store is called " + s.Backend)
}

// process is a node from the inside.
type process struct {
	engine  *latchkey.Engine
	rows    store.Store
	now     func() time.Time
	journal *journal // nil without an outbox
	mu      sync.Mutex
	out     *json.Encoder
}

// serve answers the requests on the standard input, until it ends. A node ends with the process that started it.
func serve(text string) error {
	var s settings
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return err
	}
	ctx := context.Background()
	rows, err := openRows(ctx, s)
	if err != nil {
		return err
	}
	config, err := configOf(s, hashertest.New(quiet{}))
	if err != nil {
		return err
	}
	p := &process{rows: rows, now: config.Now, out: json.NewEncoder(os.Stdout)}
	if s.Outbox != nil {
		if p.journal, err = openJournal(s.Outbox); err != nil {
			return err
		}
		config.Outbox = &latchkey.Outbox{Receivers: p.journal.receivers()}
		rows = unreliable{rows}
	}
	config.Notifier = p
	config.Logger = slog.New(slog.DiscardHandler) // the driver gets the cause of each fault
	if p.engine, err = latchkey.New(rows, config); err != nil {
		return err
	}
	p.say(answer{How: done})
	in := bufio.NewReader(os.Stdin)
	for d := json.NewDecoder(in); ; {
		var r request
		if err := d.Decode(&r); errors.Is(err, io.EOF) {
			return errors.Join(p.engine.Close(), rows.Close())
		} else if err != nil {
			return err
		}
		go func() {
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			out, err := p.run(ctx, r)
			a := answer{ID: r.ID, Out: out}
			if a.How, a.Type = classify(err); err != nil {
				a.Text = fmt.Sprint(err, ": ", errors.Unwrap(err))
			}
			p.say(a)
		}()
	}
}

func (p *process) say(a answer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.out.Encode(a); err != nil {
		os.Exit(1) // the driver has gone
	}
}

// Notify hands a message to the driver, which is the mailbox of all users.
func (p *process) Notify(_ context.Context, m notify.Message) error {
	if p.journal != nil {
		if err := p.journal.message(m); err != nil {
			return err
		}
	}
	out := args{"id": m.ID, "user": m.UserID, "secret": m.Secret.Reveal()}
	if m.MembershipID != "" {
		link, err := url.Parse(m.Link.Reveal())
		if err != nil {
			return err
		}
		q := link.Query()
		out = args{"id": m.MembershipID, "team": q.Get("teamId"), "member": q.Get("membershipId"), "user": q.Get("userId"), "secret": q.Get("secret")}
	}
	p.say(answer{Out: out})
	return nil
}

// run makes one call of the engine.
func (p *process) run(ctx context.Context, r request) (args, error) {
	client := latchkey.Client{IP: netip.AddrFrom4([4]byte{192, 0, 2, 1})}
	if r.Args["ip"] != "" {
		client.IP = netip.MustParseAddr(r.Args["ip"])
	}
	client.UserAgent, client.Locale = r.Args["mark"], r.Args["mark"]
	c := &caller{process: p, guest: p.engine.Guest(client), in: r.Args, out: args{}}
	ctx = rollsBack(ctx, r.Args["fail"])
	op := operations[r.Op]
	if op == nil {
		op = outboxOperations[r.Op]
	}
	if op == nil {
		return nil, errors.New("no operation " + r.Op)
	}
	err := op(ctx, c)
	return c.out, err
}

// caller is one call of a node.
type caller struct {
	*process
	guest   *latchkey.Guest
	in, out args
}

// account returns the account of the secret of a session.
func (c *caller) account(ctx context.Context) (*latchkey.Account, error) {
	return c.guest.Authenticate(ctx, c.in["session"])
}

// answerer is an account, or a session that owes a second factor.
type answerer interface {
	CreateMFAChallenge(context.Context, latchkey.Factor) (*latchkey.MFAChallenge, error)
	ConfirmMFAChallenge(context.Context, string, string) (*latchkey.Session, error)
}

func (c *caller) answerer(ctx context.Context) (answerer, error) {
	account, err := c.account(ctx)
	if owing := (*latchkey.MoreFactorsError)(nil); errors.As(err, &owing) {
		return owing.Pending, nil
	}
	return account, err
}

// session tells of a session that was made.
func (c *caller) session(s *latchkey.Session, err error) error {
	if err == nil {
		c.out["session"], c.out["sessionID"], c.out["user"] = s.Secret.Reveal(), s.ID, s.UserID
	}
	return err
}

func (c *caller) token(t *latchkey.Token, err error) error {
	if err == nil {
		c.out["token"], c.out["user"] = t.ID, t.UserID
	}
	return err
}

func (c *caller) member(m *latchkey.Membership, err error) error {
	if err == nil {
		c.out["team"], c.out["member"], c.out["user"] = m.TeamID, m.ID, m.UserID
	}
	return err
}

// byAccount is an operation of a signed-in user.
func byAccount(op func(context.Context, *caller, *latchkey.Account) error) func(context.Context, *caller) error {
	return func(ctx context.Context, c *caller) error {
		account, err := c.account(ctx)
		if err != nil {
			return err
		}
		return op(ctx, c, account)
	}
}

func roles(text string) []string {
	if text == "" {
		return []string{}
	}
	return []string{text}
}

// operations are the calls that a node makes, by name.
var operations = map[string]func(context.Context, *caller) error{
	"ping":   func(ctx context.Context, c *caller) error { return c.engine.Ping(ctx) },
	"endAll": func(ctx context.Context, c *caller) error { return c.engine.EndAll(ctx) },

	"signUp": func(ctx context.Context, c *caller) error {
		u, err := c.guest.CreateAccount(ctx, latchkey.NewAccount{Email: c.in["email"], Password: c.in["password"]})
		if err == nil {
			c.out["user"] = u.ID
		}
		return err
	},
	"signIn": func(ctx context.Context, c *caller) error {
		return c.session(c.guest.CreateEmailPasswordSession(ctx, c.in["email"], c.in["password"]))
	},
	"authenticate": func(ctx context.Context, c *caller) error {
		account, err := c.account(ctx)
		if err == nil {
			c.out["user"] = account.UserID()
		}
		return err
	},
	"byEmail": func(ctx context.Context, c *caller) error {
		u, err := c.engine.Users().GetByEmail(ctx, c.in["email"])
		if err == nil {
			c.out["user"] = u.ID
		}
		return err
	},
	"askLink": func(ctx context.Context, c *caller) error {
		return c.token(c.guest.CreateMagicURLToken(ctx, latchkey.NewMagicURLToken{Email: c.in["email"]}))
	},
	"askCode": func(ctx context.Context, c *caller) error {
		return c.token(c.guest.CreateEmailToken(ctx, latchkey.NewEmailToken{Email: c.in["email"]}))
	},
	"claim": func(ctx context.Context, c *caller) error {
		return c.session(c.guest.CreateSession(ctx, c.in["user"], c.in["secret"]))
	},
	"signOut": byAccount(func(ctx context.Context, _ *caller, a *latchkey.Account) error {
		return a.DeleteSession(ctx, latchkey.CurrentSession)
	}),
	"deleteSession": func(ctx context.Context, c *caller) error {
		return c.engine.Users().DeleteSession(ctx, c.in["user"], c.in["sessionID"])
	},
	"deleteSessions": func(ctx context.Context, c *caller) error { return c.engine.Users().DeleteSessions(ctx, c.in["user"]) },
	"deleteUser":     func(ctx context.Context, c *caller) error { return c.engine.Users().Delete(ctx, c.in["user"]) },
	"block": func(ctx context.Context, c *caller) error {
		_, err := c.engine.Users().UpdateStatus(ctx, c.in["user"], false)
		return err
	},
	"setPassword": func(ctx context.Context, c *caller) error {
		_, err := c.engine.Users().UpdatePassword(ctx, c.in["user"], c.in["password"])
		return err
	},
	"moveTo": byAccount(func(ctx context.Context, c *caller, a *latchkey.Account) error {
		_, err := a.UpdateEmail(ctx, c.in["email"], c.in["password"])
		return err
	}),
	"enrol": byAccount(func(ctx context.Context, c *caller, a *latchkey.Account) error {
		made, err := a.CreateMFAAuthenticator(ctx, latchkey.NewMFAAuthenticator{})
		if err == nil {
			c.out["uri"] = made.URI.Reveal()
		}
		return err
	}),
	"confirm": byAccount(func(ctx context.Context, c *caller, a *latchkey.Account) error {
		if _, err := a.VerifyMFAAuthenticator(ctx, c.in["code"]); err != nil {
			return err
		}
		codes, err := a.CreateMFARecoveryCodes(ctx)
		if err != nil {
			return err
		}
		c.out["recovery"] = codes.Codes[0].Reveal()
		_, err = a.UpdateMFA(ctx, true)
		return err
	}),
	"challenge": func(ctx context.Context, c *caller) error {
		a, err := c.answerer(ctx)
		if err != nil {
			return err
		}
		made, err := a.CreateMFAChallenge(ctx, latchkey.Factor(c.in["factor"]))
		if err == nil {
			c.out["challenge"] = made.ID
		}
		return err
	},
	"answer": func(ctx context.Context, c *caller) error {
		a, err := c.answerer(ctx)
		if err != nil {
			return err
		}
		return c.session(a.ConfirmMFAChallenge(ctx, c.in["challenge"], c.in["code"]))
	},
	"team": byAccount(func(ctx context.Context, c *caller, a *latchkey.Account) error {
		made, err := a.Teams().Create(ctx, latchkey.NewTeam{Name: "Bakers"})
		if err == nil {
			c.out["team"] = made.ID
		}
		return err
	}),
	"addMember": func(ctx context.Context, c *caller) error {
		return c.member(c.engine.Teams().CreateMembership(ctx, c.in["team"], latchkey.NewMembership{UserID: c.in["user"], Roles: roles(c.in["roles"])}))
	},
	"invite": byAccount(func(ctx context.Context, c *caller, a *latchkey.Account) error {
		return c.member(a.Teams().CreateMembership(ctx, c.in["team"], latchkey.NewMembership{Email: c.in["email"], URL: "https://app.example.org/join", Roles: roles(c.in["roles"])}))
	}),
	"accept": func(ctx context.Context, c *caller) error {
		in, err := c.guest.AcceptInvitation(ctx, latchkey.InvitationLink{
			TeamID: c.in["team"], MembershipID: c.in["member"], UserID: c.in["user"], Secret: hidden.New(c.in["secret"]),
		})
		if err != nil {
			return err
		}
		return c.session(in.Session, nil)
	},
	"leave": byAccount(func(ctx context.Context, c *caller, a *latchkey.Account) error {
		return a.Teams().DeleteMembership(ctx, c.in["team"], c.in["member"])
	}),
	"setRoles": byAccount(func(ctx context.Context, c *caller, a *latchkey.Account) error {
		return c.member(a.Teams().UpdateMembership(ctx, c.in["team"], c.in["member"], roles(c.in["roles"])))
	}),
}
