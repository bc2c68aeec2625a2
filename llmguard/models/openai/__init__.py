"""The adapter for OpenAI and for servers with the same API.

Read `model` first: it sends a request and reads the answer. `api_formats` names what differs between the two APIs,
`chat_completions` and `responses`; both read replies by `reply` and `logprobs`, and streamed ones by `stream_events`.
`strict_schema` writes the output schema as a server takes it, `server_capabilities` is what a server was found not to
support. `sdk_transport` sends over clients of our own, `user_client` over one that the user passed in; `server` is the
address and the key.
"""
