//! The family's demo: `extended` processes over one Redis, as their clients and the other members see them.

mod fixture;
mod ids;
mod outside;
mod routes;
mod start;
mod worker;

use self::fixture::Demo;

/// The works of the demo take seconds, so all of them are asked for at the same time.
#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_keep_to_the_contract_of_the_family() {
    let demo = Demo::start(3).await;
    let listener = demo.listen().await;
    let published = tokio::join!(
        routes::a_query_runs_once_for_all(&demo),
        routes::a_renewed_report_runs_once_for_all(&demo),
        routes::a_report_that_is_too_late_is_an_error(&demo),
        routes::a_stem_comes_from_one_worker(&demo),
        routes::a_joke_is_told_by_redis_commands(&demo),
        outside::a_leader_of_another_kind_is_waited_for(&demo),
        outside::a_lost_message_costs_the_rest_of_the_lease(&demo),
        outside::a_dead_leader_is_succeeded_by_one_node(&demo),
        outside::members_in_python_lead_and_follow(&demo),
        outside::a_worker_in_python_resolves_what_a_node_asked_for(&demo),
        worker::a_worker_that_is_killed_is_succeeded(&demo),
        ids::what_can_be_an_id_is_one_to_the_letter(&demo),
        ids::what_cannot_be_an_id_is_refused(&demo),
    );
    let (a, b, c, d, e, f, g, h, i, j, k, l, m) = published;
    listener.heard([a, b, c, d, e, f, g, h, i, j, k, l, m].concat()).await;
}
