"""Loss terms, one subject a module.

Terms are called as in `training.loss_weights` of a config. They are unweighted, and means over the batch; those of
SDFlow are means per dimension too, where the paper prints sums.

SDFlow, "Semantic Latent Decomposition with Normalizing Flows for Face Editing"; Î = G(w_e), w_e = Φ⁻¹(z; ŝ):

    term                    formula                             equation                          module
    nll                     −log N(z; 0, I) − log|det ∂z/∂w|    3                                 likelihood
    kd                      ‖E_s(I) − C(I)‖²                    5                                 distillation
    mi                      ‖E_s(Î) − ŝ‖²                       6 (printed with s in place of ŝ)  mutual_information
    reg                     ‖w_e − w‖²                          7                                 latent_distance

Equations that are no loss: 1 (dz/dt = Φ(z, s, t)) and 2 (its solution z) are computed in `models/flows/cnf.py`, 4 (the
edited code w_e) in `models/editors/sdflow.py` and, for training, in `training/methods/sdflow.py`.

S²-Flow, whose objective is not published; x' = G(w') under the mask m', x = G(w) with the mask m:

    mask                    cross-entropy of the parser on x', m'   —                             mask_agreement
    pixels                  mean |x' − x| where m = m'          —                                 unchanged_pixels

Other editors:

    target                  class-balanced cross-entropy        Latent Transformer (2021), code   balanced_cross_entropy
    reg                     ‖w_e − w‖²                          Latent Transformer, AdaTrans      latent_distance
    identity                1 − cos                             AdaTrans; pSp (2020), 4           identity
    perceptual              Σ ‖f(x) − f(y)‖², f of unit norm    LPIPS (2018), 1                   perceptual

ID swap ("Controllable face image editing in a disentanglement way"); x1 = G(M(i_A, a_A)), x2 = G(M(i_A, a_B)):

    mixed                   0.9 (1 − MS-SSIM) + 0.1 mean |x1−A| —                                 structural_similarity
    perceptual              LPIPS of x1 and A                   LPIPS (2018), 1                   lpips
    identity_2              1 − cos of h(x2) and h(A)           L_id_2                            high_frequency
    attribute               LPIPS of squares of x2 and B        L_attr                            patches
    landmark                ‖points of x2 − those of B‖²        2005.07728, L_landmarks           landmarks

Networks of a domain:

    generator,              −log σ(D(G(z))), and                GAN (2014), 1 and section 3       adversarial
      discriminator           −log σ(D(x)) − log(1 − σ(D(G)))
    r1, latent_r1           ½‖∂D(x)/∂x‖²                        Mescheder et al. (2018), 9        adversarial
    path_length             (‖Jᵀy‖ − a)²                        StyleGAN2 (2020), 4               path_length
    adversarial,            those of generator                  e4e (2021), section 3.3           adversarial
      latent_discriminator    and discriminator
    delta                   Σ_i ‖w_i − w_0‖                     e4e (2021), 3                     delta
    norm                    ‖w − w̄‖                             pSp (2020), 4                     code_norm
    bce                     cross-entropy of known labels       —                                 cross_entropy
    margin_softmax          cross-entropy of s (cos(θ+m₂)−m₃)   ArcFace (2019), 4                 margin_softmax

Terms that are one call of PyTorch (`class`, `attributes`, `image`, `latent`, …) stand in the methods themselves
(`training/methods/`).
"""

import utils  # noqa: F401 (before PyTorch, see utils/threads.py)
