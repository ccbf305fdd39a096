"""The paper's method: the inner loop, the outer loop and the accuracy of episodes."""
