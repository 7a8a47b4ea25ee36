package sim

import (
	"net/http"
	"testing"
	"time"

	"github.com/govalues/decimal"

	"topupd/clients/emulator"
	"topupd/rules"
	"topupd/scheduler"
	"topupd/topup"
)

// drains lets everybody use credits at one pace, so that the nth customer has
// this much left when that much time has passed.
func (s *script) drains(perSecond string, after time.Duration, left func(n int) decimal.Decimal) {
	s.t.Helper()
	pace := decimal.MustParse(perSecond)
	used, err := pace.Mul(decimal.MustNew(int64(after/time.Second), 0))
	if err != nil {
		s.t.Fatal(err)
	}
	for n, c := range s.customers {
		balance, err := left(n).Add(used)
		if err != nil {
			s.t.Fatal(err)
		}
		s.balance(n, balance.String())
		if err := s.emu.SetUsage(c.ID, pace); err != nil {
			s.t.Fatal(err)
		}
	}
}

// everybodyCredited tells whether the first n customers were bought for.
func (s *script) everybodyCredited(n int) func() bool {
	return func() bool {
		for customer := range n {
			if s.row(customer, 1).State != topup.Credited {
				return false
			}
		}
		return true
	}
}

// emptiestFirst fails the test unless the purchases were planned in the order of
// what was left, apart from those that were under way at the same time.
func (s *script) emptiestFirst() {
	s.t.Helper()
	rows := s.ending.rows // oldest first
	for n := scheduler.DefaultWorkers; n < len(rows); n++ {
		earlier, p := rows[n-scheduler.DefaultWorkers], rows[n]
		if p.BalanceBefore < earlier.BalanceBefore-topup.Credit {
			s.t.Errorf("%s had %s left and was bought for after %s, who had %s", p.Target.Customer, p.BalanceBefore, earlier.Target.Customer, earlier.BalanceBefore)
		}
	}
}

// TestStoryOutagesEndByThemselves: P14, P19. While nobody looks, most customers
// use up what they have. When it is over, all of them are bought for, the
// emptiest first, and nobody has to say that their zeros are true.
func TestStoryOutagesEndByThemselves(t *testing.T) {
	const customers, begins = 24, 5 * time.Minute
	for _, tt := range []struct {
		name string
		away time.Duration
		pace string // of everybody, credits a second
		down func(s *script, d time.Duration)
	}{
		{"the ledger is away for 12 minutes", 12 * time.Minute, "0.17", ledgerAway},
		{"the provider is away for 37 minutes", 37 * time.Minute, "0.055", providerAway},
		{"the daemon is stopped for 7 minutes", 7 * time.Minute, "0.28", daemonStopped},
		{"the daemon is stopped for 53 minutes", 53 * time.Minute, "0.038", daemonStopped},
		{"the daemon is stopped for 2 hours", 2 * time.Hour, "0.017", daemonStopped},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := alone(1, customers, 0)
			h.Cooldown = time.Hour
			s := play(t, h, func(s *script) {
				s.nobody = true
				s.drains(tt.pace, begins, func(n int) decimal.Decimal { return decimal.MustNew(int64(102+n), 0) })
				s.at(begins, func() { tt.down(s, tt.away) })
				s.at(begins+tt.away, func() {
					zero := 0
					s.emu.Tick(s.now())
					for _, c := range s.emu.Customers() {
						if c.Balance == "0" {
							zero++
						}
					}
					if zero < customers*2/3 || zero == customers {
						t.Errorf("%d of %d have run dry: the story wants most and not all", zero, customers)
					}
				})
				s.endBy(begins+tt.away+5*time.Minute, 0, s.everybodyCredited(customers))
			})
			if s.judge.held != 0 {
				t.Errorf("%d were held for a person", s.judge.held)
			}
			if len(s.ending.rows) != customers {
				t.Errorf("%d purchases for %d customers", len(s.ending.rows), customers)
			}
			s.emptiestFirst()
		})
	}
}

func ledgerAway(s *script, d time.Duration) {
	s.away.Store(true)
	s.after(d, func() { s.away.Store(false) })
}

func providerAway(s *script, d time.Duration) {
	until := s.now().Add(d)
	s.spoils = append(s.spoils, func(r *http.Request, f *emulator.Faults) {
		if s.now().Before(until) && r.Method == http.MethodGet {
			f.Outage, s.readsBad = 1, s.now()
		}
	})
}

func daemonStopped(s *script, d time.Duration) { s.kill(0, d) }

// TestStoryTheMonthEnds: P14. Everybody's credits end with the month, to the last
// one, in the same second. They were ordered so: everybody is bought for anew.
func TestStoryTheMonthEnds(t *testing.T) {
	const customers = 12
	end := time.Date(2026, 11, 30, 23, 59, 59, 0, time.UTC)
	for _, tt := range []struct {
		name   string
		during func(*script)
	}{
		{"while somebody looks", func(*script) {}},
		{"while the daemon is stopped", func(s *script) {
			s.at(end.Sub(began)-10*time.Minute, func() { daemonStopped(s, 20*time.Minute) })
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			beginsAt(t, end.Add(-20*time.Minute))
			s := play(t, alone(1, customers, 0), func(s *script) {
				s.nobody, s.expires = true, rules.Expiry{EndOfMonth: true}
				for n := range customers {
					s.balance(n, "0") // all that they have is what they buy
				}
				tt.during(s)
				s.endBy(40*time.Minute, time.Minute, func() bool {
					for n := range customers {
						if s.row(n, 2).State != topup.Credited {
							return false
						}
					}
					return true
				})
			})
			if s.judge.held != 0 || len(s.ending.rows) != 2*customers {
				t.Errorf("%d held, %d purchases for %d customers", s.judge.held, len(s.ending.rows), customers)
			}
			for _, p := range s.ending.rows[customers:] {
				if p.PlannedAt.Before(end) {
					t.Errorf("%s was bought for again at %s, before the month had ended", p.Target.Customer, p.PlannedAt)
				}
			}
		})
	}
}

// TestStoryNoCreditsExpireTwice: P13, P14. The month has ended, everybody was
// bought for anew, and then the provider loses everybody for a minute, still within
// the time in which it may be late with what has ended. That has been seen to go:
// everybody is held, and nobody is bought for.
func TestStoryNoCreditsExpireTwice(t *testing.T) {
	const customers = 12
	end := time.Date(2026, 11, 30, 23, 59, 59, 0, time.UTC)
	beginsAt(t, end.Add(-20*time.Minute))
	held := 0
	s := play(t, alone(1, customers, 0), func(s *script) {
		s.nobody, s.expires = true, rules.Expiry{EndOfMonth: true}
		lying := func() bool { at := s.now().Sub(end); return at >= 25*time.Minute && at < 26*time.Minute }
		s.reads("/credits", "all_zero", lying)
		for n := range customers {
			s.balance(n, "0")
			s.reads("/credits/"+s.customers[n].Product, "all_zero", lying)
		}
		s.at(end.Add(26*time.Minute).Sub(began), func() {
			for n := range customers {
				if s.standing(n).Implausible != "" {
					held++
				}
			}
		})
		s.at(end.Add(32*time.Minute).Sub(began), s.end)
	})
	if held != customers || len(s.ending.rows) != 2*customers {
		t.Errorf("%d of %d held while the provider lied, %d purchases, want two each", held, customers, len(s.ending.rows))
	}
}

// TestStoryWhoHasNothingIsNoWitness: P13, P14. Most customers of the account are
// empty and stay so. The provider loses everybody for a minute: of all of them few
// have fallen, of those who had anything all have, and nobody is bought for.
func TestStoryWhoHasNothingIsNoWitness(t *testing.T) {
	const customers, having = 60, 5
	held := 0
	s := play(t, alone(1, customers, 0), func(s *script) {
		s.nobody = true
		for n := range customers {
			s.balance(n, "0")
			if n < having {
				s.balance(n, "400")
			} else if err := s.emu.SetCard(s.customers[n].ID, emulator.CardMissing); err != nil {
				t.Error(err)
			}
		}
		lying := func() bool { at := s.now().Sub(began); return at >= 10*time.Minute && at < 11*time.Minute }
		s.reads("/credits", "all_zero", lying)
		for n := range customers {
			s.reads("/credits/"+s.customers[n].Product, "all_zero", lying)
		}
		s.at(11*time.Minute, func() {
			for n := range having {
				if s.standing(n).Implausible != "" {
					held++
				}
			}
		})
		s.at(20*time.Minute, s.end)
	})
	if held != having || len(s.ending.rows) != 0 {
		t.Errorf("%d of %d held while the provider lied, %d purchases, want none", held, having, len(s.ending.rows))
	}
}

// TestStoryCreditsOfOthersEndTogether: P14. What everybody has was sold in the
// provider's dashboard, to end at the same time. topupd did not order it, and holds
// everybody; the provider's list explains each zero, and nobody has to.
func TestStoryCreditsOfOthersEndTogether(t *testing.T) {
	const customers = 12
	end := 30 * time.Minute
	s := play(t, alone(1, customers, 0), func(s *script) {
		s.nobody = true
		for n, c := range s.customers {
			s.balance(n, "0")
			s.dashboard(http.MethodPost, "/v1/customers/"+c.ID+"/credits/"+c.Product+"/topup", emulator.DefaultToken,
				`{"credit_count":500,"expires_at":"`+began.Add(end).Format(time.RFC3339)+`"}`)
		}
		s.endBy(end+10*time.Minute, time.Minute, s.everybodyCredited(customers))
	})
	if s.judge.held != customers || len(s.ending.rows) != customers {
		t.Errorf("%d held, %d purchases for %d customers", s.judge.held, len(s.ending.rows), customers)
	}
	for _, p := range s.ending.rows {
		if took := p.PlannedAt.Sub(began.Add(end)); took < 0 || took > 3*time.Minute {
			t.Errorf("%s was bought for %s after its credits had ended", p.Target.Customer, took)
		}
	}
}

// TestStoryALyingProviderHoldsEverybody: P13, P14. A provider that has lost its
// customers shows nothing of anybody. Whether somebody was looking or not, nobody
// is bought for, and when it has found them again the holds are over by
// themselves.
func TestStoryALyingProviderHoldsEverybody(t *testing.T) {
	const customers, lies = 12, 10 * time.Minute
	for _, fault := range []string{"all_zero", "all_null"} {
		for _, tt := range []struct {
			name string
			away time.Duration // before the lie is seen
		}{{"seen at once", 0}, {"seen after an outage", 53 * time.Minute}} {
			t.Run(fault+", "+tt.name, func(t *testing.T) {
				s := play(t, alone(1, customers, 0), func(s *script) {
					s.nobody = true
					s.drains("0.02", 0, func(n int) decimal.Decimal { return decimal.MustNew(int64(900+10*n), 0) })
					begins := 5 * time.Minute
					if tt.away > 0 {
						s.at(begins, func() { daemonStopped(s, tt.away) })
						begins += tt.away
					}
					lying := func() bool { at := s.now().Sub(began); return at >= begins && at < begins+lies }
					s.reads("/credits", fault, lying)
					for n := range customers {
						s.reads("/credits/"+s.customers[n].Product, fault, lying)
					}
					s.at(begins+time.Minute, func() {
						for n := range customers {
							if s.standing(n).Implausible == "" {
								t.Errorf("customer %d is not held a minute after the lie began", n)
							}
						}
					})
					s.at(begins+lies+time.Minute, func() {
						for n := range customers {
							if got := s.standing(n); got.Implausible != "" || s.reason(n) != topup.Enough {
								t.Errorf("customer %d is %s and held for %q a minute after the lie was over", n, s.reason(n), got.Implausible)
							}
						}
						s.end()
					})
				})
				s.want("")
			})
		}
	}
}

// TestStoryALieHidesWhatWasBought: P13, P14. A customer who uses much is bought for
// with little left, and before a balance has shown the credits the provider loses
// everybody. The zero would be plausible by the pace; with the credits that are due
// it is not, and the customer is held with the others.
func TestStoryALieHidesWhatWasBought(t *testing.T) {
	const customers, lies = 12, 6 * time.Minute
	for _, tt := range []struct {
		name  string
		after bool // the lie begins after the purchase, and not before
	}{{"the lie begins after the purchase", true}, {"the lie begins before the purchase", false}} {
		t.Run(tt.name, func(t *testing.T) {
			s := play(t, alone(1, customers, 0), func(s *script) {
				s.nobody = true
				s.drains("0.02", 0, func(n int) decimal.Decimal { return decimal.MustNew(int64(900+10*n), 0) })
				if err := s.emu.SetUsage(s.customers[0].ID, decimal.MustParse("0.8")); err != nil {
					t.Error(err)
				}
				var begins time.Time
				lying := func() bool { return !begins.IsZero() && s.now().After(begins) && s.now().Before(begins.Add(lies)) }
				lie := func() {
					begins = s.now()
					s.after(lies-time.Second, s.end)
				}
				s.reads("/credits", "all_zero", lying)
				for n := range customers {
					s.reads("/credits/"+s.customers[n].Product, "all_zero", lying)
				}
				s.at(8*time.Minute, func() {
					s.balance(0, "19")
					if !tt.after {
						s.after(9*time.Second, lie) // before the second reading
					}
				})
				if tt.after {
					s.when(s.is(0, 1, topup.Confirmed), lie)
				}
			})
			if n := len(s.ordered(0)); n != 1 {
				t.Errorf("bought %d times, want once", n)
			}
		})
	}
}

// TestStoryAFalseZeroOfAWallet: P5, P14. An account at Talkover is shown as empty
// for a moment; there is no crowd to see it in.
func TestStoryAFalseZeroOfAWallet(t *testing.T) {
	for _, tt := range []struct {
		name   string
		voices int
		lies   time.Duration
		held   int
	}{
		{"one wallet, for half a minute", 1, 30 * time.Second, 0},
		{"two wallets, for ten minutes", 2, 10 * time.Minute, 2},
		{"three wallets, for ten minutes", 3, 10 * time.Minute, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := play(t, alone(1, 0, tt.voices), func(s *script) {
				s.nobody = true
				s.drains("0.001", 0, func(int) decimal.Decimal { return decimal.MustNew(85, 0) })
				begins := 5 * time.Minute
				s.reads("/credits/balance", "all_zero", func() bool { at := s.now().Sub(began); return at >= begins && at < begins+tt.lies })
				s.at(begins+tt.lies+5*time.Minute, func() {
					for n := range tt.voices {
						if got := s.standing(n); got.Implausible != "" || got.Fall != nil {
							t.Errorf("wallet %d is still held for %q after %+v", n, got.Implausible, got.Fall)
						}
					}
					s.end()
				})
			})
			if s.judge.held != tt.held {
				t.Errorf("%d held, want %d", s.judge.held, tt.held)
			}
			s.want("")
		})
	}
}

// TestStoryAWalletThatIsEmpty: P5. An account that truly falls to zero at once is
// bought for when two stamps have shown it.
func TestStoryAWalletThatIsEmpty(t *testing.T) {
	s := play(t, alone(2, 0, 1), func(s *script) {
		s.nobody = true
		s.at(5*time.Minute, func() { s.balance(0, "0") })
		s.endBy(9*time.Minute, time.Minute, s.is(0, 1, topup.Credited))
	})
	if p := s.ending.rows[0]; p.PlannedAt.Sub(began) < 6*time.Minute || s.judge.held != 0 {
		t.Errorf("bought for after %s, %d held", p.PlannedAt.Sub(began)-5*time.Minute, s.judge.held)
	}
}

// beginsAt lets the histories of a test begin at another time.
func beginsAt(t *testing.T, at time.Time) {
	t.Helper()
	before := began
	began = at
	t.Cleanup(func() { began = before })
}
