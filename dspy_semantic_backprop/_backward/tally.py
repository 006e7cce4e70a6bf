"""What can happen in a backward pass, by the name under which it is counted.

| name            | what happened                                                                  |
|-----------------|--------------------------------------------------------------------------------|
| asked           | a question was sent                                                            |
| asked again     | a question was sent once more, for the members without a usable answer         |
| cache hit       | a question was answered from the gradient cache                                |
| unreadable      | a reply of which no field could be read                                        |
| refused         | an answer in which the model declined to answer                                |
| echo            | an answer that only repeated an output, the feedback, an instruction or another |
| missing         | a member, or an instruction, that two questions left without a usable answer   |
| false quote     | a quotation that does not stand in the output                                  |
| split           | a group that was too large for one question                                    |
| left out        | a text of which a question showed the beginning and the end only               |
| summarised      | a gradient that was too long and was summarised                                |
| cut             | a summary that was still too long, of which whole sentences were kept          |
| failed call     | a call of the program that produced nothing                                    |
| no gradient     | an example without gradients, since the provider did not answer                |
| not shuffled    | an example with one predictor only, whose gradients nobody else can be given   |
| merged          | lessons that were merged into one statement                                    |
| invented        | an identifier that a merge named and nobody had given                          |
"""

from __future__ import annotations

from .._session.lm import lm_context


def note(name: str, times: int = 1) -> None:
    """Count something that happened, in the context that this call belongs to.

    Args:
        name: What happened; see the table of this room.
        times: How often.
    """
    if times:
        lm_context().tally[name] += times
