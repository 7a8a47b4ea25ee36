package rules

import (
	"testing"

	"pgregory.net/rapid"

	"topupd/topup"
)

func bundle(credits, price int64) Bundle {
	return Bundle{Credits: topup.Credits(credits) * topup.Credit, Price: topup.Money{Minor: price * 100, Currency: "EUR"}}
}

func TestChoose(t *testing.T) {
	t.Parallel()
	times := func(millionths topup.Credits) *Refill { return &Refill{TimesThreshold: millionths} }
	small, large, bargain := bundle(120, 200), bundle(600, 900), bundle(400, 150)
	for _, tt := range []struct {
		name               string
		refill             *Refill
		bundles            []Bundle
		balance, threshold int64
		want               Bundle
	}{
		{"without refill_to the first", nil, []Bundle{small, large}, -1000, 500, small},
		{"the first also when it is the dearest", nil, []Bundle{large, small}, 9, 10, large},
		{"a small gap takes the cheapest", times(3 * topup.Credit), []Bundle{large, small}, 9, 10, small},
		{"exactly reached is reached", times(3 * topup.Credit), []Bundle{small, large}, -90, 10, small},
		{"one credit short takes the next", times(3 * topup.Credit), []Bundle{small, large}, -91, 10, large},
		{"when none reaches it, the largest", times(3 * topup.Credit), []Bundle{small, large}, -5000, 10, large},
		{"the cheapest need not be the smallest", times(3 * topup.Credit), []Bundle{small, bargain, large}, 9, 10, bargain},
		{"half a factor counts", times(1_500_000), []Bundle{small, large}, -106, 10, large},
		{"a fixed balance", &Refill{Credits: 500 * topup.Credit}, []Bundle{small, large}, 100, 200, large},
		{"a fixed balance below a provider's threshold reaches the threshold", &Refill{Credits: topup.Credit}, []Bundle{small, large}, 100, 400, large},
		{"a negative threshold is not multiplied away", times(3 * topup.Credit), []Bundle{small, large}, -300, -100, large},
		{"of equal bundles the earlier", times(3 * topup.Credit), []Bundle{{PriceID: "a", Credits: small.Credits, Price: small.Price}, small}, 9, 10, Bundle{PriceID: "a", Credits: small.Credits, Price: small.Price}},
		{"no bundle is no bundle", nil, nil, 9, 10, Bundle{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := Rule{Buy: Buy{Bundles: tt.bundles, RefillTo: tt.refill}}
			got := r.Choose(topup.Credits(tt.balance)*topup.Credit, topup.Credits(tt.threshold)*topup.Credit)
			if got != tt.want {
				t.Errorf("Choose(%d, %d) = %+v, want %+v", tt.balance, tt.threshold, got, tt.want)
			}
		})
	}
}

func TestChooseReachesTheTargetWheneverABundleDoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.Int64Range(1, int64(topup.MaxCredits))
		signed := rapid.Int64Range(-int64(topup.MaxCredits), int64(topup.MaxCredits))
		r := Rule{Buy: Buy{RefillTo: &Refill{TimesThreshold: topup.Credits(rapid.Int64Range(1_000_001, int64(maxTimes)).Draw(t, "times"))}}}
		for range rapid.IntRange(1, 5).Draw(t, "bundles") {
			r.Buy.Bundles = append(r.Buy.Bundles, Bundle{
				Credits: topup.Credits(amount.Draw(t, "credits")),
				Price:   topup.Money{Minor: rapid.Int64Range(1, 9).Draw(t, "price"), Currency: "EUR"},
			})
		}
		balance, threshold := topup.Credits(signed.Draw(t, "balance")), topup.Credits(signed.Draw(t, "threshold"))
		target := r.Buy.RefillTo.target(threshold)
		if target < threshold || target > topup.MaxCredits {
			t.Fatalf("target(%d) = %d", threshold, target)
		}
		chosen := r.Choose(balance, threshold)
		for _, b := range r.Buy.Bundles {
			if better(b, chosen, target-balance) {
				t.Fatalf("chose %+v, but %+v is better", chosen, b)
			}
			if balance+b.Credits >= target && balance+chosen.Credits < target {
				t.Fatalf("chose %+v, which does not reach %d as %+v does", chosen, target, b)
			}
		}
	})
}
