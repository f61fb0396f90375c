"""Calls of the LiteLLM SDK in place of HTTP requests, behind the same seam: see `gateway.upstream.transport`.

    Bridge            loads the SDK in a thread, when it is needed; hands calls over    bridge.py
    ├ BridgeCall      the gateway's side of a call: waiting, time-outs, giving up       call.py
    │ └ BridgeResponse  its answer, and the bounded buffer behind it                    response.py
    └ in the thread
      ├ worker        makes a call and sends what comes back over its line              worker.py, line.py
      ├ sdk           LiteLLM, with all switched off that is not translation            sdk.py
      └ network       the HTTP that LiteLLM does, watched: sent, answered, broken       network.py
    pure: answers.py (what comes back, as OpenAI's wire), failures.py (what an exception means)

The SDK has a thread and an event loop of its own: what blocks in it blocks no other provider's calls.
"""
