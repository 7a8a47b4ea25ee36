package deploytest

// A Metric is one row of the table of metrics that topupd exports: what boards
// and alerts may rely on.
type Metric struct {
	// Type is counter, gauge or histogram.
	Type string
	// Labels are its labels, besides those that Prometheus adds (cluster, instance, job).
	Labels []string
	// Values are the closed sets of those labels that have one.
	Values map[string][]string
}

// The closed sets of label values.
var (
	states   = []string{"planned", "held", "sent", "confirmed", "needs_review"} // of an open purchase
	results  = []string{"credited", "declined", "refused", "cancelled", "needs_review"}
	failures = []string{
		"declined", "refused", "invalid", "auth", "throttled", "timeout", "connection", "server", "malformed",
		"mismatch", "not_found", "key_too_old", "other",
	}
	payments = []string{"pending", "failed"}                   // the unpaid ones
	stops    = []string{"price", "refused"}                    // why topupd stops a rule by itself
	scopes   = []string{"all", "provider", "rule", "customer"} // of a pause
	kinds    = []string{"reads", "writes"}
	causes   = []string{"in_doubt", "conflict", "timeout", "connection", "constraint", "other"} // of a ledger error
	polls    = []string{"ok", "incomplete", "error"}

	capScopes = []string{"global", "provider", "rule"}
	periods   = []string{"hour", "day", "month"}
	reasons   = []string{
		"buy", "enough", "still_open", "cooling_down", "rechecking", "first_hold", "proving_price",
		"paused", "dry_run", "excluded", "no_rule", "native_auto_topup",
		"stale_reading", "bad_reading", "not_seen", "no_threshold", "price_mismatch", "price_unproven", "rule_stopped", "change_held",
		"currency_mismatch", "customer_inactive", "no_payment_method", "invoice_unpaid", "refunded", "external_topup", "environment_changed",
		"over_cap", "backing_off", "suspended", "quarantined", "implausible", "provider_unavailable",
		"other", // none of the above, which would be a mistake in topupd
	}
	differences = []string{
		"double_charge", "charged_after_no", "claimed_twice", "missing_invoice", "missing_row", "credited_twice",
		"amount_differs", "credits_differ", "expiry_differs", "payment_differs", "reversed",
		"unknown_invoice", "unknown_row", "row_without_invoice", "other",
	}
)

// Metrics is every metric that topupd exports, by name.
var Metrics = map[string]Metric{
	"topupd_purchases_total":                                 counter(map[string][]string{"result": results}, "provider", "rule"),
	"topupd_purchase_failures_total":                         counter(map[string][]string{"reason": failures}, "provider", "rule"),
	"topupd_cap_spent":                                       gauge(map[string][]string{"scope": capScopes, "period": periods}, "id", "unit"),
	"topupd_cap_limit":                                       gauge(map[string][]string{"scope": capScopes, "period": periods}, "id", "unit"),
	"topupd_cap_customers_near":                              gauge(map[string][]string{"period": periods}, "rule", "unit"),
	"topupd_credits_bought_total":                            counter(nil, "provider", "rule"),
	"topupd_purchases_open":                                  gauge(map[string][]string{"state": states}, "provider"),
	"topupd_purchase_oldest_open_timestamp_seconds":          gauge(map[string][]string{"state": states}, "provider"),
	"topupd_rule_stopped":                                    gauge(map[string][]string{"cause": stops}, "provider", "rule"),
	"topupd_invoices_unpaid":                                 gauge(map[string][]string{"payment": payments}, "provider"),
	"topupd_balance_credits":                                 gauge(nil, "provider", "customer", "product"),
	"topupd_threshold_credits":                               gauge(nil, "provider", "customer", "product"),
	"topupd_target_below_threshold":                          gauge(nil, "provider", "customer", "product"),
	"topupd_target_out_of_credits_timestamp_seconds":         gauge(nil, "provider", "customer", "product"),
	"topupd_targets_paused_oldest_timestamp_seconds":         gauge(nil, "provider"),
	"topupd_customers_rule_lost":                             gauge(nil, "provider"),
	"topupd_pause_oldest_timestamp_seconds":                  gauge(map[string][]string{"scope": scopes}, "provider"),
	"topupd_dry_run":                                         gauge(nil, "provider", "rule"),
	"topupd_provider_token_refused_timestamp_seconds":        gauge(nil, "provider"),
	"topupd_targets":                                         gauge(nil, "provider"),
	"topupd_targets_below_threshold":                         gauge(map[string][]string{"reason": reasons}, "provider"),
	"topupd_targets_out_of_credits_unserved":                 gauge(nil, "provider"),
	"topupd_targets_out_of_credits":                          gauge(nil, "provider"),
	"topupd_targets_trouble_oldest_timestamp_seconds":        gauge(map[string][]string{"reason": reasons}, "provider"),
	"topupd_targets_out_of_credits_oldest_timestamp_seconds": gauge(nil, "provider"),
	"topupd_targets_held":                                    gauge(nil, "provider"),
	"topupd_targets_held_oldest_timestamp_seconds":           gauge(nil, "provider"),
	"topupd_targets_unproven":                                gauge(nil, "provider"),
	"topupd_below_threshold_duration_seconds":                histogram("provider"),
	"topupd_decisions_total":                                 counter(map[string][]string{"reason": reasons}, "provider", "rule"),
	"topupd_polls_total":                                     counter(map[string][]string{"result": polls}, "provider"),
	"topupd_poll_duration_seconds":                           histogram("provider"),
	"topupd_poll_last_success_timestamp_seconds":             gauge(nil, "provider"),
	"topupd_poll_seconds":                                    gauge(nil, "provider"),
	"topupd_poll_reading_age_limit_seconds":                  gauge(nil, "provider"),
	"topupd_provider_requests_total":                         counter(nil, "provider", "op", "code"),
	"topupd_provider_request_duration_seconds":               histogram("provider", "op"),
	"topupd_rate_budget_used_ratio":                          gauge(map[string][]string{"kind": kinds}, "provider"),
	"topupd_lease_held":                                      gauge(nil, "provider"),
	"topupd_config_last_reload_successful":                   gauge(nil),
	"topupd_config_last_reload_success_timestamp_seconds":    gauge(nil),
	"topupd_build_info":                                      gauge(nil, "version", "revision", "goversion"),
	"topupd_verify_differences":                              gauge(map[string][]string{"kind": differences}, "provider"),
	"topupd_verify_difference_ids":                           gauge(map[string][]string{"kind": differences}, "provider", "ids"),
	"topupd_verify_last_success_timestamp_seconds":           gauge(nil, "provider"),
	"topupd_ledger_fit":                                      gauge(nil),
	"topupd_ledger_query_duration_seconds":                   histogram("query"),
	"topupd_ledger_errors_total":                             counter(map[string][]string{"reason": causes}, "query"),
	"topupd_log_lines_dropped_total":                         counter(nil),
}

func counter(values map[string][]string, labels ...string) Metric {
	return metric("counter", values, labels)
}

func gauge(values map[string][]string, labels ...string) Metric {
	return metric("gauge", values, labels)
}

func histogram(labels ...string) Metric {
	return metric("histogram", nil, labels)
}

func metric(kind string, values map[string][]string, labels []string) Metric {
	for label := range values {
		labels = append(labels, label)
	}
	return Metric{Type: kind, Labels: labels, Values: values}
}
