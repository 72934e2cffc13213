//! Bodies and trailers that pass through while they come.

use super::*;

#[tokio::test]
async fn a_request_body_streams_through_while_it_is_sent() {
    let (heard, mut hears) = mpsc::channel(1);
    let origin = Origin::start(move |mut call| {
        let heard = heard.clone();
        async move {
            while let Some(chunk) = call.chunk().await {
                heard.send(chunk).await.expect("a test that listens");
            }
            Reply::ok("all of it")
        }
    })
    .await;
    let node = Node::reverse_proxy(&origin.url(), &[]).await;
    for client in [HttpClient::http1(), HttpClient::http2()] {
        let (parts, body) = mpsc::channel::<&'static str>(1);
        let body = stream::unfold(body, |mut body| async move {
            let part = body.recv().await?;
            Some((Ok::<_, BoxError>(Frame::data(Bytes::from(part))), body))
        });
        let request = Request::post(node.url("/"))
            .body(StreamBody::new(body))
            .expect("a request");
        let answer = tokio::spawn(async move { client.send(request).await });
        for part in ["one", "two", "three"] {
            parts.send(part).await.expect("a body that is read");
            let chunk = within("a part of the body", hears.recv()).await;
            assert_eq!(chunk.expect("a part"), part);
        }
        drop(parts);
        let answer = answer.await.expect("no panic").expect("an answer");
        assert_eq!(answer.text(), "all of it");
    }
}

#[tokio::test]
async fn a_response_body_streams_through_while_it_comes() {
    let (origin, mut sender) = streaming().await;
    let node = Node::reverse_proxy(&origin.url(), &[]).await;
    for client in [HttpClient::http1(), HttpClient::http2()] {
        for method in ["GET", "POST"] {
            let response = client.start(empty(method, &node.url("/"))).await;
            let mut body = response.expect("a response's head").into_body();
            let sender = sender.recv().await.expect("a call");
            for part in ["one", "two", "three"] {
                sender.send(part).await;
                let frame = within("a part of the body", body.frame()).await;
                let frame = frame.expect("no end yet").expect("no error");
                assert_eq!(frame.into_data().expect("data"), part);
            }
            drop(sender);
            let rest = within("the end of the body", body.collect()).await;
            assert!(rest.expect("no error").to_bytes().is_empty());
        }
    }
}

#[tokio::test]
async fn trailers_pass_through_both_ways() {
    let origin = Origin::start(|call| async move {
        let (body, trailers) = call.collect().await;
        let sum = trailers.get("x-sum").map_or("none", |sum| sum.to_str().expect("ASCII"));
        Reply::ok(body).trailer("x-back", sum)
    })
    .await;
    let node = Node::reverse_proxy(&origin.url(), &[]).await;
    for client in [HttpClient::http1(), HttpClient::http2()] {
        let trailers = HeaderMap::from_iter([(HeaderName::from_static("x-sum"), HeaderValue::from_static("7"))]);
        let frames = [Frame::data(Bytes::from("content")), Frame::trailers(trailers)];
        let body = StreamBody::new(stream::iter(frames.map(Ok::<_, BoxError>)));
        let request = Request::post(node.url("/"))
            .header("te", "trailers")
            .header("trailer", "x-sum");
        let answer = client.send(request.body(body).expect("a request")).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.text(), "content");
        assert_eq!(answer.trailers.get("x-back").expect("a trailer"), "7");
    }
}
